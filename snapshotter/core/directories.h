// The directories of ordinary snapshots: <root>/snapshots/<id>/fs and, beside it, /work.
//
// Rules. IDs are given once and never again. A directory is made aside (".new-<id>") and durable
// there before anybody asks for it: a spare. A call that needs one renames it to its ID before its
// transaction, which costs no wait for the disk: should a crash lose the rename but not the
// transaction, Open does it again. A directory goes only after the transaction that forgets it. So
// one without a row is garbage: of an abandoned call, known in memory and deleted by Collect, or of
// a crash, found by Open. Names that begin with "i" are mount points of images and belong to
// snapshotter/images; other names are nobody's and stay.
//
// Errors: RESOURCE_EXHAUSTED (disk full), PERMISSION_DENIED, DATA_LOSS, UNAVAILABLE, INTERNAL.
// Thread-safe after Open.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/os/file_ops.h"
#include "snapshotter/core/spare_directories.h"

namespace slacker {

class SnapshotDirectories {
 public:
  // `files` must outlive this object. `spares`: how many to keep ready (spare_directories.h).
  SnapshotDirectories(FileOps* files, const std::string& root, int spares);
  // Deletes the spares, as far as it can: Open finds what is left.
  ~SnapshotDirectories();

  // Makes <root>/snapshots if it is missing and takes stock: directories of IDs that are not in
  // `known` become garbage. `last_id` is the largest ID that the database has given.
  absl::Status Open(const std::unordered_set<int64_t>& known, int64_t last_id);

  int64_t NewId() { return next_id_.fetch_add(1); }
  std::string PathOf(int64_t id) const;
  std::string FsOf(int64_t id) const { return PathOf(id) + "/fs"; }

  // A new ID with a spare directory. It must be given back or placed.
  absl::StatusOr<int64_t> Take() { return spares_->Take(); }
  void GiveBack(int64_t id);
  // Makes the spare the directory of its ID, its `fs` with this owner. Leaves nothing behind when
  // it fails.
  absl::Status Place(int64_t id, const FileOps::Owner& owner);

  // Deletes at once what Place made, for a call that failed; what cannot be deleted is garbage.
  void Discard(int64_t id);
  // Leaves the directory to the next Collect. Never fails.
  void AddGarbage(int64_t id);
  // Deletes all garbage, also what another Collect is at. What cannot be deleted stays garbage, and
  // the first error is returned.
  absl::Status Collect();

 private:
  std::string AsideOf(int64_t id) const;
  absl::StatusOr<std::vector<int64_t>> MakeSpares(int count);
  absl::Status MakeSpare(const std::string& aside);
  absl::Status PlaceSpare(int64_t id, const FileOps::Owner& owner);
  absl::Status Delete(int64_t id);

  FileOps* const files_;
  const std::string directory_;  // <root>/snapshots
  std::atomic<int64_t> next_id_{1};
  Mutex mutex_;
  CondVar collected_;
  bool collecting_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<int64_t> garbage_ ABSL_GUARDED_BY(mutex_);
  const int keep_;
  std::unique_ptr<SpareDirectories> spares_;  // from Open on; last: makes directories by the above
};

}  // namespace slacker
