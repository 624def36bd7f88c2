// A TreeMounter that only remembers. Attach can be made to fail, or to wait until released.
// Thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "snapshotter/attach/tree_mounter.h"

namespace slacker::testing {

class FakeTreeMounter final : public TreeMounter {
 public:
  absl::Status Attach(const TreeSpec& spec) override {
    MutexLock lock(&mutex_);
    ++attach_calls_;
    ++waiting_;
    changed_.SignalAll();
    while (held_) changed_.Wait(&mutex_);
    --waiting_;
    if (!attach_error_.ok()) return attach_error_;
    attached_[spec.mount_path] = spec;
    return absl::OkStatus();
  }
  bool IsMounted(const std::string& mount_path) override {
    MutexLock lock(&mutex_);
    return attached_.contains(mount_path);
  }
  absl::Status Detach(const std::string& mount_path) override {
    MutexLock lock(&mutex_);
    ++detach_calls_;
    if (!detach_error_.ok()) return detach_error_;
    attached_.erase(mount_path);
    return absl::OkStatus();
  }
  absl::StatusOr<std::set<uint64_t>> BlobsInUse() override {
    MutexLock lock(&mutex_);
    std::set<uint64_t> blobs = held_blobs_;
    for (const auto& [path, spec] : attached_) {
      for (const BlobRef& blob : spec.blobs) blobs.insert(blob.id);
    }
    return blobs;
  }

  // From now on Attach and Detach answer with these; OK: they work again.
  void SetAttachError(absl::Status error) {
    MutexLock lock(&mutex_);
    attach_error_ = std::move(error);
  }
  void SetDetachError(absl::Status error) {
    MutexLock lock(&mutex_);
    detach_error_ = std::move(error);
  }
  // Attach waits while held.
  void Hold() {
    MutexLock lock(&mutex_);
    held_ = true;
  }
  void Release() {
    MutexLock lock(&mutex_);
    held_ = false;
    changed_.SignalAll();
  }
  void WaitUntilAttaching() {
    MutexLock lock(&mutex_);
    while (waiting_ == 0) changed_.Wait(&mutex_);
  }
  // Blobs that a container goes on reading after Detach.
  void SetHeldBlobs(std::set<uint64_t> blobs) {
    MutexLock lock(&mutex_);
    held_blobs_ = std::move(blobs);
  }
  // A reboot: nothing is mounted any more.
  void Forget() {
    MutexLock lock(&mutex_);
    attached_.clear();
    held_blobs_.clear();
  }

  std::map<std::string, TreeSpec> attached() const {
    MutexLock lock(&mutex_);
    return attached_;
  }
  int attach_calls() const {
    MutexLock lock(&mutex_);
    return attach_calls_;
  }
  int detach_calls() const {
    MutexLock lock(&mutex_);
    return detach_calls_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, TreeSpec> attached_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> held_blobs_ ABSL_GUARDED_BY(mutex_);
  absl::Status attach_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status detach_error_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int attach_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int detach_calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker::testing
