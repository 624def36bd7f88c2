// Puts what was unpacked into a snapshot on the disk, before its Commit (ADR 0032).
//
// The kernel tells only one caller that it could not write, the first that syncs after it, and takes
// what it lost for written from then on. Whose it was it does not say. So after one failure whatever
// any snapshot of that time holds counts as lost, and none of them is ever synced again.
//
// Not remembered over a restart. Thread-safe.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "backend/os/file_ops.h"

namespace slacker {

class ContentSync {
 public:
  // Both must outlive this object.
  ContentSync(FileOps* files, const Clock* clock) : files_(files), clock_(clock) {}

  // A new snapshot, whose directory nobody can have written to so far.
  void NoteNew(int64_t id);
  // It is committed or removed: nobody will ask for it again.
  void Forget(int64_t id);

  // Returns when all of <fs> is on the disk. DATA_LOSS: some of it may be lost, and unpacking it again
  // into a new snapshot is all that helps. Else, the error of FileOps.
  // Waits for those that began earlier too: the failure may be theirs to hear.
  absl::Status Sync(int64_t id, const std::string& fs, const DiskUsage& usage);

 private:
  absl::Status SyncNow(const std::string& fs, const DiskUsage& usage);

  FileOps* const files_;
  const Clock* const clock_;
  Mutex mutex_;
  CondVar ended_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<uint64_t> under_way_ ABSL_GUARDED_BY(mutex_);  // in the order in which they began
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;           // some sync, since the start
  std::set<int64_t> new_ ABSL_GUARDED_BY(mutex_);  // since the last failure; empty before any
};

}  // namespace slacker
