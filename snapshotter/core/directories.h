// The directories of ordinary snapshots: <root>/snapshots/<id>/fs and, of active ones, /work.
//
// Rules. IDs are given once and never again. A directory is made aside (".new-<id>"), renamed to
// its ID, and durable before the transaction that names it begins; it goes only after the
// transaction that forgets it. So a directory without a row is garbage: of an abandoned call, known
// in memory and deleted by Collect, or of a crash, found by Open. Names that begin with "i" are
// mount points of images and belong to snapshotter/images; other names are nobody's and stay.
//
// Errors: RESOURCE_EXHAUSTED (disk full), PERMISSION_DENIED, DATA_LOSS, UNAVAILABLE, INTERNAL.
// Thread-safe after Open.
#pragma once

#include <atomic>
#include <cstdint>
#include <set>
#include <string>
#include <unordered_set>

#include "absl/status/status.h"
#include "backend/base/mutex.h"
#include "backend/os/file_ops.h"

namespace slacker {

class SnapshotDirectories {
 public:
  // `files` must outlive this object.
  SnapshotDirectories(FileOps* files, const std::string& root);

  // Makes <root>/snapshots if it is missing and takes stock: directories of IDs that are not in
  // `known` become garbage. `last_id` is the largest ID that the database has given.
  absl::Status Open(const std::unordered_set<int64_t>& known, int64_t last_id);

  int64_t NewId() { return next_id_.fetch_add(1); }
  std::string PathOf(int64_t id) const;
  std::string FsOf(int64_t id) const { return PathOf(id) + "/fs"; }

  // Makes the directory of a new ID, durably. Leaves nothing behind when it fails.
  absl::Status Create(int64_t id, const FileOps::Owner& owner, bool with_work);

  // Deletes at once what Create made, for a call that failed; what cannot be deleted is garbage.
  void Discard(int64_t id);
  // Leaves the directory to the next Collect. Never fails.
  void AddGarbage(int64_t id);
  // Deletes all garbage. What cannot be deleted stays garbage, and the first error is returned.
  absl::Status Collect();

 private:
  std::string AsideOf(int64_t id) const;
  absl::Status Make(int64_t id, const FileOps::Owner& owner, bool with_work);
  absl::Status Delete(int64_t id);

  FileOps* const files_;
  const std::string directory_;  // <root>/snapshots
  std::atomic<int64_t> next_id_{1};
  Mutex mutex_;
  std::set<int64_t> garbage_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker
