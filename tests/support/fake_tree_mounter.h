// A TreeMounter that only remembers. Attach can be made to fail, or to wait until released.
// Thread-safe.
#pragma once

#include <map>
#include <new>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

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
    if (std::exchange(throws_, false)) throw std::bad_alloc();
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
  absl::StatusOr<BlobsInUse> FindBlobsInUse() override {
    MutexLock lock(&mutex_);
    BlobsInUse blobs{.on_fuse = held_blobs_, .on_cache = {}};
    for (const auto& [path, spec] : attached_) {
      for (const BlobRef& blob : spec.blobs) {
        (blob.file == BlobFile::kFuse ? blobs.on_fuse : blobs.on_cache).insert(blob.id);
      }
    }
    return blobs;
  }
  absl::Status Switch(const BlobRef& wanted) override {
    MutexLock lock(&mutex_);
    ++switch_calls_;
    if (!switch_error_.ok()) return switch_error_;
    for (auto& [path, spec] : attached_) {
      for (BlobRef& blob : spec.blobs) {
        if (blob.id == wanted.id) blob.file = wanted.file;
      }
    }
    return absl::OkStatus();
  }
  void ReadInAdvance(const std::string& mount_path, std::span<const FileRange> ranges) override {
    MutexLock lock(&mutex_);
    if (attached_.contains(mount_path)) read_.insert(read_.end(), ranges.begin(), ranges.end());
  }
  absl::Status SetLocal(const std::string& mount_path, bool local) override {
    MutexLock lock(&mutex_);
    if (!attached_.contains(mount_path)) return NotFound("nothing is mounted there");
    if (local) {
      local_.insert(mount_path);
    } else {
      local_.erase(mount_path);
    }
    return absl::OkStatus();
  }

  // From now on Attach and Detach answer with these; OK: they work again.
  void SetAttachError(absl::Status error) {
    MutexLock lock(&mutex_);
    attach_error_ = std::move(error);
  }
  // The next Attach finds no memory.
  void ThrowOnce() {
    MutexLock lock(&mutex_);
    throws_ = true;
  }
  void SetDetachError(absl::Status error) {
    MutexLock lock(&mutex_);
    detach_error_ = std::move(error);
  }
  void SetSwitchError(absl::Status error) {
    MutexLock lock(&mutex_);
    switch_error_ = std::move(error);
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
    local_.clear();
    held_blobs_.clear();
  }

  std::map<std::string, TreeSpec> attached() const {
    MutexLock lock(&mutex_);
    return attached_;
  }
  // What every loop device of a blob is on; the blob is attached.
  BlobFile FileOf(uint64_t blob_id) const {
    MutexLock lock(&mutex_);
    for (const auto& [path, spec] : attached_) {
      for (const BlobRef& blob : spec.blobs) {
        if (blob.id == blob_id) return blob.file;
      }
    }
    return BlobFile::kFuse;
  }
  std::set<std::string> local() const {
    MutexLock lock(&mutex_);
    return local_;
  }
  // All that was to be read in advance, of any tree.
  std::vector<FileRange> read_in_advance() const {
    MutexLock lock(&mutex_);
    return read_;
  }
  int switch_calls() const {
    MutexLock lock(&mutex_);
    return switch_calls_;
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
  bool throws_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status attach_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status detach_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status switch_error_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> local_ ABSL_GUARDED_BY(mutex_);
  std::vector<FileRange> read_ ABSL_GUARDED_BY(mutex_);
  int switch_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int attach_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int detach_calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker::testing
