// Passes calls on to another FileOps and remembers them; fails the N-th, for loops of the form "for
// N = 1, 2, …: an operation with its N-th step failing leaves no trace", or all that change
// something. Thread-safe.
#pragma once

#include <atomic>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/os/file_ops.h"

namespace slacker::testing {

class FaultyFileOps final : public FileOps {
 public:
  explicit FaultyFileOps(FileOps* real) : real_(real) {}

  // The `nth` call from now on (1 = the next) fails with `error`; 0 = none does.
  void FailCall(int nth, int error) {
    error_ = error;
    calls_left_ = nth;
  }
  // Whether the failure was reached.
  bool failed() const { return calls_left_ < 0; }
  // From now on whatever changes something fails with `error`; 0 = nothing does. With ENOSPC
  // removing works, as on a full disk.
  void FailChanges(int error) { change_error_ = error; }
  // What was called since the last time, each as "verb path".
  std::vector<std::string> TakeCalls() {
    MutexLock lock(&mutex_);
    return std::exchange(calls_, {});
  }

  absl::Status MakeDirectory(const std::string& path, uint32_t mode, uint32_t uid,
                             uint32_t gid) override {
    RETURN_IF_ERROR(CheckChange("mkdir " + path));
    return real_->MakeDirectory(path, mode, uid, gid);
  }
  absl::Status Sync(const std::string& path) override {
    RETURN_IF_ERROR(CheckSync("fsync " + path));
    return real_->Sync(path);
  }
  absl::Status SyncFileSystem(const std::string& path) override {
    RETURN_IF_ERROR(CheckSync("syncfs " + path));
    return real_->SyncFileSystem(path);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(CheckChange("rename " + from));
    return real_->Rename(from, to);
  }
  absl::Status RenameDurably(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(CheckChange("rename " + from));
    return real_->RenameDurably(from, to);
  }
  absl::Status RemoveTree(const std::string& path) override {
    RETURN_IF_ERROR(change_error_ == ENOSPC ? Check("remove " + path)
                                            : CheckChange("remove " + path));
    return real_->RemoveTree(path);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    RETURN_IF_ERROR(Check("list " + path));
    return real_->List(path);
  }
  absl::StatusOr<DiskUsage> Usage(const std::string& path) override {
    RETURN_IF_ERROR(Check("usage " + path));
    return real_->Usage(path);
  }
  absl::StatusOr<Owner> Stat(const std::string& path) override {
    RETURN_IF_ERROR(Check("stat " + path));
    return real_->Stat(path);
  }
  absl::Status SetOwner(const std::string& path, const Owner& owner) override {
    RETURN_IF_ERROR(CheckChange("chown " + path));
    return real_->SetOwner(path, owner);
  }

 private:
  absl::Status CheckChange(const std::string& what) {
    RETURN_IF_ERROR(Check(what));
    return change_error_ == 0 ? absl::OkStatus() : ErrnoError(change_error_, what);
  }
  // A disk that is full, or cannot be written, has what it has.
  absl::Status CheckSync(const std::string& what) {
    return change_error_ == ENOSPC || change_error_ == EROFS ? Check(what) : CheckChange(what);
  }
  absl::Status Check(const std::string& what) {
    {
      MutexLock lock(&mutex_);
      calls_.push_back(what);
    }
    if (calls_left_ <= 0 || --calls_left_ != 0) return absl::OkStatus();
    calls_left_ = -1;
    return ErrnoError(error_, what);
  }

  FileOps* const real_;
  std::atomic<int> calls_left_{0};
  std::atomic<int> error_{0};
  std::atomic<int> change_error_{0};
  Mutex mutex_;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker::testing
