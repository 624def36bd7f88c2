// Directories that were made before somebody asks for them, so that a call that needs one does not
// wait for the disk. Thread-safe.
//
// A spare is known by its ID. How spares are made is the owner's; here it is only decided when. With
// `keep` = 0 one is made, on the caller's thread, for each Take. Otherwise a thread makes them, 16 at a
// time, until there are `keep`: when this object is made, and whenever less than half are left; then it
// waits for a moment in which nobody takes one, as long as a quarter of them are left.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"

namespace slacker {

class SpareDirectories {
 public:
  // Makes `count` spares (at most 16), durably, or none.
  using Make = std::function<absl::StatusOr<std::vector<int64_t>>(int count)>;

  SpareDirectories(int keep, Make make);
  // Waits for what is being made.
  ~SpareDirectories() = default;

  // Blocks while there is none and some are being made. Errors are those of `make`.
  absl::StatusOr<int64_t> Take();
  // A spare that was taken and is as it was. REQUIRES: `keep` > 0.
  void GiveBack(int64_t id);
  // Takes all that there are, and makes no more. REQUIRES: no other call from now on.
  std::vector<int64_t> TakeAll();

 private:
  void StartRefill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Refill();
  // How many to make now; 0: enough are there.
  int NextBatch();

  const int keep_;
  const Make make_;
  Mutex mutex_;
  CondVar made_;
  CondVar needed_;  // few are left, or no more are wanted
  std::vector<int64_t> ready_ ABSL_GUARDED_BY(mutex_);
  bool taken_ ABSL_GUARDED_BY(mutex_) = false;  // since the maker looked
  bool making_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t batches_ ABSL_GUARDED_BY(mutex_) = 0;  // ended ones
  absl::Status last_ ABSL_GUARDED_BY(mutex_);     // what the last one came to
  std::unique_ptr<ThreadPool> maker_;             // last: its tasks use the above
};

}  // namespace slacker
