// The Snapshotter on a database, directories and images.
//
// State. The database is the truth. A snapshot's row decides what stands behind it: a directory of
// ours (ordinary), the parent alone (a view), or a published chain (remote: column `chain`). What a
// snapshot stands on is found by walking up its ancestry to the topmost remote one: a remote
// snapshot's tree is complete, so nothing beneath it is looked at.
//
// Transactions are short: directories are made, images attached and usage is measured before the
// write transaction, which then checks again what it relies on. Order within a call and what a
// crash leaves: directories.h.
//
// Commit waits until the content is on the disk (content_sync.h), unless told not to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/clock.h"
#include "backend/os/file_ops.h"
#include "snapshotter/core/content_sync.h"
#include "snapshotter/core/directories.h"
#include "snapshotter/core/mounts.h"
#include "snapshotter/images/images.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/metastore/snapshot_table.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

// The reason of a PathDecision about what nobody has published yet.
inline constexpr char kNotPublished[] = "ordinary: not published";

// Why a Prepare with kRefLabel took the path it took.
struct PathDecision {
  std::string key;
  std::string ref;
  std::string parent;
  Labels labels;
  bool remote = false;
  std::string reason;  // "published", "ordinary: not published", …; also in the row
  std::string detail;  // the error behind it, if there was one
};

struct CoreOptions {
  std::string root;  // absolute, without ':' ',' and '\', which mean something in mount options
  bool overlay_index_off = false;
  bool sync_commits = true;   // Commit waits until the content is on the disk (ADR 0032)
  int spare_directories = 0;  // how many to keep ready for Prepare; 0 = each is made when asked for
  // Called once for each decision, on the thread of the call and with no lock held; may be null.
  std::function<void(const PathDecision&)> on_decision;
};

class CoreSnapshotter final : public Snapshotter {
 public:
  // Takes stock of the root directory; deletes nothing (Cleanup does) and needs no network. All
  // four must outlive the snapshotter.
  static absl::StatusOr<std::unique_ptr<CoreSnapshotter>> Open(Db* db, FileOps* files,
                                                               Images* images, const Clock* clock,
                                                               CoreOptions options);

  absl::StatusOr<std::vector<MountSpec>> Prepare(const std::string& key, const std::string& parent,
                                                 const Labels& labels) override;
  absl::StatusOr<std::vector<MountSpec>> View(const std::string& key, const std::string& parent,
                                              const Labels& labels) override;
  absl::StatusOr<std::vector<MountSpec>> Mounts(const std::string& key) override;
  absl::Status Commit(const std::string& name, const std::string& key, const Labels& labels,
                      const std::string& parent) override;
  absl::Status Remove(const std::string& key) override;
  absl::StatusOr<SnapshotInfo> Stat(const std::string& key) override;
  absl::StatusOr<SnapshotInfo> Update(const std::string& name, const Labels& labels,
                                      const UpdateMask& mask) override;
  absl::Status List(const std::vector<std::string>& filters,
                    const std::function<absl::Status(const SnapshotInfo&)>& visit) override;
  absl::StatusOr<SnapshotUsage> Usage(const std::string& key) override;
  absl::Status Cleanup() override;

 private:
  struct Parent {
    int64_t id = 0;  // 0 = none
    std::vector<ChainLink> chain;
  };

  CoreSnapshotter(Db* db, FileOps* files, Images* images, const Clock* clock, CoreOptions options);

  // Towards a new snapshot: create.cc.
  absl::StatusOr<Parent> CheckNew(Txn& txn, const std::string& key,
                                  const std::string& parent) const;
  absl::StatusOr<std::vector<MountSpec>> Create(Kind kind, const std::string& key,
                                                const std::string& parent, Labels labels,
                                                std::string reason);
  absl::Status InsertNew(const SnapshotRow& row);
  absl::StatusOr<std::vector<MountSpec>> CreateWithDirectory(
      SnapshotRow row, const std::vector<std::string>& lowers);
  absl::StatusOr<std::vector<std::string>> LowersOf(const std::vector<ChainLink>& chain);
  // Where containerd has given the files of the parent other owners by itself, nothing is mapped again.
  absl::StatusOr<std::optional<IdMap>> MapFor(const Labels& labels,
                                              const std::vector<std::string>& lowers) const;
  absl::StatusOr<MountPlan> PlanFor(const SnapshotRow& row, std::vector<std::string> lowers) const;

  // The remote path: remote.cc. ALREADY_EXISTS when the remote snapshot is there; otherwise OK, and
  // decision->reason is why it is the ordinary path.
  absl::Status TryRemote(const std::string& key, const std::string& parent, const Labels& labels,
                         PathDecision* decision);
  absl::Status CommitRemote(const std::string& key, const std::string& parent, const Labels& labels,
                            const Digest& chain);

  absl::StatusOr<SnapshotRow> Find(const std::string& key);

  Db* const db_;
  FileOps* const files_;
  Images* const images_;
  const Clock* const clock_;
  const CoreOptions options_;
  ContentSync content_;
  SnapshotDirectories directories_;
};

}  // namespace slacker
