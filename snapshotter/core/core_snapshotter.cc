#include "snapshotter/core/core_snapshotter.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/core/lookup.h"
#include "snapshotter/core/requests.h"
#include "snapshotter/filter/filter.h"

namespace slacker {
namespace {

constexpr size_t kListPage = 100;

absl::StatusOr<std::vector<int64_t>> CandidatesOf(Db& db, const FilterSet& filters) {
  ASSIGN_OR_RETURN(Txn txn, db.Read());
  const std::vector<Candidates> sets = filters.CandidateSets();
  for (const Candidates& set : sets) {
    if (!set.name && !set.parent && !set.ref) return SnapshotTable::CandidateIds(txn, set);
  }
  std::vector<int64_t> ids;
  std::unordered_set<int64_t> seen;
  for (const Candidates& set : sets) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> found, SnapshotTable::CandidateIds(txn, set));
    std::copy_if(found.begin(), found.end(), std::back_inserter(ids),
                 [&seen](int64_t id) { return seen.insert(id).second; });
  }
  return ids;
}

}  // namespace

CoreSnapshotter::CoreSnapshotter(Db* db, FileOps* files, Images* images, const Clock* clock,
                                 CoreOptions options)
    : db_(db),
      files_(files),
      images_(images),
      clock_(clock),
      options_(std::move(options)),
      content_(files, clock),
      directories_(files, options_.root, options_.spare_directories) {}

absl::StatusOr<std::unique_ptr<CoreSnapshotter>> CoreSnapshotter::Open(Db* db, FileOps* files,
                                                                       Images* images,
                                                                       const Clock* clock,
                                                                       CoreOptions options) {
  if (!options.root.starts_with('/') || options.root.find_first_of(":,\\") != std::string::npos) {
    return InvalidArgument("root " + options.root +
                           ": must be an absolute path without ':', ',' and '\\', which mean "
                           "something in the options of an overlay mount");
  }
  std::unique_ptr<CoreSnapshotter> snapshotter(
      new CoreSnapshotter(db, files, images, clock, std::move(options)));
  ASSIGN_OR_RETURN(Txn txn, db->Read());
  ASSIGN_OR_RETURN(const std::vector<int64_t> ids, SnapshotTable::CandidateIds(txn, {}));
  ASSIGN_OR_RETURN(const int64_t last_id, SnapshotTable::LastId(txn));
  RETURN_IF_ERROR(snapshotter->directories_.Open({ids.begin(), ids.end()}, last_id));
  return snapshotter;
}

absl::StatusOr<SnapshotRow> CoreSnapshotter::Find(const std::string& key) {
  RETURN_IF_ERROR(CheckKey(key, "key"));
  ASSIGN_OR_RETURN(Txn txn, db_->Read());
  return FindOrFail(txn, key);
}

absl::StatusOr<SnapshotInfo> CoreSnapshotter::Stat(const std::string& key) {
  ASSIGN_OR_RETURN(SnapshotRow row, Find(key));
  return std::move(row.info);
}

absl::StatusOr<SnapshotInfo> CoreSnapshotter::Update(const std::string& name, const Labels& labels,
                                                     const UpdateMask& mask) {
  RETURN_IF_ERROR(CheckKey(name, "name"));
  ASSIGN_OR_RETURN(Txn txn, db_->Write());
  ASSIGN_OR_RETURN(SnapshotRow row, FindOrFail(txn, name));
  ASSIGN_OR_RETURN(row.info.labels, ApplyMask(row.info.labels, labels, mask));
  row.info.updated_nanos = clock_->WallNanos();
  RETURN_IF_ERROR(SnapshotTable::SetLabels(txn, row.id, row.info.labels, row.info.updated_nanos));
  RETURN_IF_ERROR(txn.Commit());
  return std::move(row.info);
}

absl::Status CoreSnapshotter::List(const std::vector<std::string>& filters,
                                   const std::function<absl::Status(const SnapshotInfo&)>& visit) {
  ASSIGN_OR_RETURN(const FilterSet set, FilterSet::Parse(filters));
  // The IDs of one moment, then their rows page by page: neither a lock nor a transaction is open
  // while the visitor runs, and an ancestor cannot be missed because its ID is the higher one.
  ASSIGN_OR_RETURN(const std::vector<int64_t> ids, CandidatesOf(*db_, set));
  for (size_t begin = 0; begin < ids.size(); begin += kListPage) {
    std::vector<SnapshotInfo> page;
    {
      ASSIGN_OR_RETURN(Txn txn, db_->Read());
      for (size_t i = begin; i < std::min(begin + kListPage, ids.size()); ++i) {
        ASSIGN_OR_RETURN(auto row, SnapshotTable::FindById(txn, ids[i]));
        if (row.has_value() && set.Matches(row->info)) page.push_back(std::move(row->info));
      }
    }
    for (const SnapshotInfo& info : page) RETURN_IF_ERROR(visit(info));
  }
  return absl::OkStatus();
}

absl::StatusOr<SnapshotUsage> CoreSnapshotter::Usage(const std::string& key) {
  ASSIGN_OR_RETURN(const SnapshotRow row, Find(key));
  if (row.info.kind == Kind::kView) return SnapshotUsage{};
  if (row.chain.has_value()) {
    auto usage = images_->Usage(*row.chain);
    if (usage.ok()) return usage;
    Log(LogLevel::kWarning, "usage of an image is not known, ignoring",
        {{"chain", row.chain->ToString()}, {"error", Message(usage.status())}});
    return SnapshotUsage{};
  }
  if (row.info.kind == Kind::kCommitted) return row.usage;
  const auto usage = files_->Usage(directories_.FsOf(row.id));
  if (!usage.ok()) {
    // Removed, or committed and removed, while it was walked: that is the answer then.
    RETURN_IF_ERROR(Find(key).status());
    return usage.status();
  }
  return SnapshotUsage{.size_bytes = usage->size_bytes, .inodes = usage->inodes};
}

absl::Status CoreSnapshotter::Commit(const std::string& name, const std::string& key,
                                     const Labels& labels, const std::string& parent) {
  RETURN_IF_ERROR(CheckKey(name, "name"));
  RETURN_IF_ERROR(CheckParent(parent));
  ASSIGN_OR_RETURN(Labels kept, CheckLabels(labels));
  ASSIGN_OR_RETURN(const SnapshotRow before, Find(key));
  DiskUsage usage;
  if (before.info.kind == Kind::kActive) {
    const std::string fs = directories_.FsOf(before.id);
    ASSIGN_OR_RETURN(usage, files_->Usage(fs));
    absl::Status synced;
    if (options_.sync_commits) synced = content_.Sync(before.id, fs, usage);
    if (!synced.ok()) {
      // Removed meanwhile: that is the answer then.
      RETURN_IF_ERROR(Find(key).status());
      return Annotate(synced, "snapshot " + Quoted(key));
    }
  }
  SLACKER_FAILPOINT("commit.measured");

  ASSIGN_OR_RETURN(Txn txn, db_->Write());
  ASSIGN_OR_RETURN(SnapshotRow row, FindOrFail(txn, key));
  ASSIGN_OR_RETURN(const auto taken, SnapshotTable::Find(txn, name));
  if (taken.has_value()) return AlreadyExists("snapshot " + Quoted(name) + " exists");
  if (row.info.kind != Kind::kActive || row.id != before.id) {
    return FailedPrecondition("snapshot " + Quoted(key) + " is not active");
  }
  if (!parent.empty() && parent != row.info.parent) {
    if (row.parent_id != 0) {
      return InvalidArgument("snapshot " + Quoted(key) + " stands on another parent than " +
                             Quoted(parent));
    }
    ASSIGN_OR_RETURN(const SnapshotRow base, FindOrFail(txn, parent));
    if (base.info.kind != Kind::kCommitted) {
      return FailedPrecondition("parent " + Quoted(parent) + " is not committed");
    }
    row.parent_id = base.id;
  }
  row.info.name = name;
  row.info.kind = Kind::kCommitted;
  row.info.created_nanos = row.info.updated_nanos = clock_->WallNanos();
  row.info.labels = std::move(kept);
  row.usage = {.size_bytes = usage.size_bytes, .inodes = usage.inodes};
  RETURN_IF_ERROR(SnapshotTable::Replace(txn, row));
  SLACKER_FAILPOINT("commit.before_commit");
  RETURN_IF_ERROR(txn.Commit());
  SLACKER_FAILPOINT("commit.committed");
  content_.Forget(row.id);
  return absl::OkStatus();
}

absl::Status CoreSnapshotter::Remove(const std::string& key) {
  RETURN_IF_ERROR(CheckKey(key, "key"));
  ASSIGN_OR_RETURN(Txn txn, db_->Write());
  ASSIGN_OR_RETURN(const SnapshotRow row, FindOrFail(txn, key));
  ASSIGN_OR_RETURN(const bool is_parent, SnapshotTable::HasChildren(txn, row.id));
  if (is_parent) {
    return FailedPrecondition("cannot remove snapshot " + Quoted(key) + ": it has children");
  }
  RETURN_IF_ERROR(SnapshotTable::Delete(txn, row.id));
  SLACKER_FAILPOINT("remove.before_commit");
  RETURN_IF_ERROR(txn.Commit());
  SLACKER_FAILPOINT("remove.committed");
  content_.Forget(row.id);
  if (row.HasDirectory()) directories_.AddGarbage(row.id);
  return absl::OkStatus();
}

absl::Status CoreSnapshotter::Cleanup() {
  SLACKER_FAILPOINT("cleanup.begin");
  absl::Status status = Annotate(directories_.Collect(), "deleting removed snapshots");
  status.Update(Annotate(images_->Collect(), "collecting images"));
  return status;
}

}  // namespace slacker
