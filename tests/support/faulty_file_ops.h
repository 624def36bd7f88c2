// Passes calls on to another FileOps and fails the N-th of those that change something, for loops
// of the form "for N = 1, 2, …: an operation with its N-th step failing leaves no trace".
// Thread-safe.
#pragma once

#include <atomic>
#include <string>
#include <vector>

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

  absl::Status MakeDirectory(const std::string& path, uint32_t mode, uint32_t uid,
                             uint32_t gid) override {
    RETURN_IF_ERROR(Check("mkdir " + path));
    return real_->MakeDirectory(path, mode, uid, gid);
  }
  absl::Status Sync(const std::string& path) override {
    RETURN_IF_ERROR(Check("fsync " + path));
    return real_->Sync(path);
  }
  absl::Status RenameDurably(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(Check("rename " + from));
    return real_->RenameDurably(from, to);
  }
  absl::Status RemoveTree(const std::string& path) override {
    RETURN_IF_ERROR(Check("remove " + path));
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

 private:
  absl::Status Check(const std::string& what) {
    if (calls_left_ <= 0 || --calls_left_ != 0) return absl::OkStatus();
    calls_left_ = -1;
    return ErrnoError(error_, what);
  }

  FileOps* const real_;
  std::atomic<int> calls_left_{0};
  std::atomic<int> error_{0};
};

}  // namespace slacker::testing
