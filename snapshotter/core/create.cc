// Prepare, View and Mounts.
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "snapshotter/core/core_snapshotter.h"
#include "snapshotter/core/lookup.h"
#include "snapshotter/core/mounts.h"
#include "snapshotter/core/requests.h"

namespace slacker {
namespace {

constexpr uint32_t kRootMode = 0755;

// What is wrong with an image must not read as an answer about the snapshot: whatever it is, its mounts
// are not to be had now.
absl::Status AttachError(const absl::Status& status) {
  return Unavailable("the image cannot be attached: " + Message(status));
}

}  // namespace

absl::StatusOr<std::vector<MountSpec>> CoreSnapshotter::Prepare(const std::string& key,
                                                                const std::string& parent,
                                                                const Labels& labels) {
  RETURN_IF_ERROR(CheckKey(key, "key"));
  RETURN_IF_ERROR(CheckParent(parent));
  ASSIGN_OR_RETURN(Labels kept, CheckLabels(labels));
  PathDecision decision;
  decision.key = key;
  decision.parent = parent;
  if (const auto ref = kept.find(std::string(kRefLabel)); ref != kept.end()) {
    decision.ref = ref->second;
    decision.labels = kept;
    const absl::Status status = TryRemote(key, parent, kept, &decision);
    if (!decision.reason.empty() && options_.on_decision) options_.on_decision(decision);
    RETURN_IF_ERROR(status);
  }
  return Create(Kind::kActive, key, parent, std::move(kept), std::move(decision.reason));
}

absl::StatusOr<std::vector<MountSpec>> CoreSnapshotter::View(const std::string& key,
                                                             const std::string& parent,
                                                             const Labels& labels) {
  RETURN_IF_ERROR(CheckKey(key, "key"));
  RETURN_IF_ERROR(CheckParent(parent));
  ASSIGN_OR_RETURN(Labels kept, CheckLabels(labels));
  return Create(Kind::kView, key, parent, std::move(kept), "");
}

absl::StatusOr<std::vector<MountSpec>> CoreSnapshotter::Mounts(const std::string& key) {
  RETURN_IF_ERROR(CheckKey(key, "key"));
  std::vector<ChainLink> chain;
  SnapshotRow row;
  {
    ASSIGN_OR_RETURN(Txn txn, db_->Read());
    ASSIGN_OR_RETURN(row, FindOrFail(txn, key));
    if (row.info.kind == Kind::kCommitted) {
      return FailedPrecondition("snapshot " + Quoted(key) + " is committed and has no mounts");
    }
    ASSIGN_OR_RETURN(chain, SnapshotTable::Chain(txn, row.parent_id));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> lowers, LowersOf(chain));
  ASSIGN_OR_RETURN(const MountPlan plan, PlanFor(row, std::move(lowers)));
  return MountsFor(plan);
}

absl::StatusOr<CoreSnapshotter::Parent> CoreSnapshotter::CheckNew(Txn& txn, const std::string& key,
                                                                  const std::string& parent) const {
  ASSIGN_OR_RETURN(const auto taken, SnapshotTable::Find(txn, key));
  if (taken.has_value()) return AlreadyExists("snapshot " + Quoted(key) + " exists");
  Parent found;
  if (parent.empty()) return found;
  ASSIGN_OR_RETURN(const auto row, SnapshotTable::Find(txn, parent));
  if (!row.has_value()) return NotFound("parent " + Quoted(parent) + " does not exist");
  if (row->info.kind != Kind::kCommitted) {
    return InvalidArgument("parent " + Quoted(parent) + " is not committed");
  }
  found.id = row->id;
  ASSIGN_OR_RETURN(found.chain, SnapshotTable::Chain(txn, row->id));
  return found;
}

absl::StatusOr<std::vector<std::string>> CoreSnapshotter::LowersOf(
    const std::vector<ChainLink>& chain) {
  std::vector<std::string> lowers;
  lowers.reserve(chain.size());
  for (const ChainLink& link : chain) {
    if (!link.chain.has_value()) {
      lowers.push_back(directories_.FsOf(link.id));
      continue;
    }
    auto tree = images_->Attach(*link.chain);
    if (!tree.ok()) return AttachError(tree.status());
    lowers.push_back(*std::move(tree));
  }
  return lowers;
}

// A client that does not know of the capability copies the image with other owners, and asks all the
// same: to map those again would make them nobody's.
absl::StatusOr<std::optional<IdMap>> CoreSnapshotter::MapFor(
    const Labels& labels, const std::vector<std::string>& lowers) const {
  ASSIGN_OR_RETURN(std::optional<IdMap> map, IdMapOf(labels));
  if (!map.has_value() || lowers.empty()) return map;
  ASSIGN_OR_RETURN(const FileOps::Owner owner, files_->Stat(lowers.front()));
  if (map->IsApplied(owner.uid, owner.gid)) map.reset();
  return map;
}

absl::StatusOr<MountPlan> CoreSnapshotter::PlanFor(const SnapshotRow& row,
                                                   std::vector<std::string> lowers) const {
  ASSIGN_OR_RETURN(std::optional<IdMap> map, MapFor(row.info.labels, lowers));
  return MountPlan{.kind = row.info.kind,
                   .directory = directories_.PathOf(row.id),
                   .lowers = std::move(lowers),
                   .index_off = options_.overlay_index_off,
                   .id_map = std::move(map)};
}

absl::StatusOr<std::vector<MountSpec>> CoreSnapshotter::Create(Kind kind, const std::string& key,
                                                               const std::string& parent,
                                                               Labels labels, std::string reason) {
  Parent found;
  {
    ASSIGN_OR_RETURN(Txn txn, db_->Read());
    ASSIGN_OR_RETURN(found, CheckNew(txn, key, parent));
  }
  // Before the row: the parent's row keeps the image meanwhile, and if it goes, InsertNew sees it.
  ASSIGN_OR_RETURN(const std::vector<std::string> lowers, LowersOf(found.chain));

  const int64_t now = clock_->WallNanos();
  SnapshotRow row;
  row.info = {.name = key,
              .parent = parent,
              .kind = kind,
              .created_nanos = now,
              .updated_nanos = now,
              .labels = std::move(labels)};
  row.parent_id = found.id;
  row.reason = std::move(reason);
  SLACKER_FAILPOINT("create.begin");
  if (row.HasDirectory()) return CreateWithDirectory(std::move(row), lowers);
  row.id = directories_.NewId();
  ASSIGN_OR_RETURN(const MountPlan plan, PlanFor(row, lowers));
  ASSIGN_OR_RETURN(std::vector<MountSpec> mounts, MountsFor(plan));
  RETURN_IF_ERROR(InsertNew(row));
  SLACKER_FAILPOINT("create.committed");
  return mounts;
}

absl::StatusOr<std::vector<MountSpec>> CoreSnapshotter::CreateWithDirectory(
    SnapshotRow row, const std::vector<std::string>& lowers) {
  FileOps::Owner owner{.mode = kRootMode, .uid = 0, .gid = 0};
  if (!lowers.empty()) {
    // The upper directory's attributes are what the merged root shows.
    ASSIGN_OR_RETURN(owner, files_->Stat(lowers.front()));
  }
  ASSIGN_OR_RETURN(row.id, directories_.Take());
  const auto plan = PlanFor(row, lowers);
  auto mounts = plan.ok() ? MountsFor(*plan) : plan.status();
  if (!mounts.ok()) {
    directories_.GiveBack(row.id);
    return mounts;
  }
  if (plan->id_map.has_value()) {
    owner.uid = plan->id_map->RootUid();
    owner.gid = plan->id_map->RootGid();
  }
  RETURN_IF_ERROR(directories_.Place(row.id, owner));
  content_.NoteNew(row.id);
  SLACKER_FAILPOINT("create.made");
  if (absl::Status inserted = InsertNew(row); !inserted.ok()) {
    content_.Forget(row.id);
    directories_.Discard(row.id);
    return inserted;
  }
  SLACKER_FAILPOINT("create.committed");
  return mounts;
}

absl::Status CoreSnapshotter::InsertNew(const SnapshotRow& row) {
  ASSIGN_OR_RETURN(Txn txn, db_->Write());
  ASSIGN_OR_RETURN(const Parent found, CheckNew(txn, row.info.name, row.info.parent));
  if (found.id != row.parent_id) {
    return NotFound("parent " + Quoted(row.info.parent) + " was removed meanwhile");
  }
  RETURN_IF_ERROR(SnapshotTable::Insert(txn, row));
  SLACKER_FAILPOINT("create.before_commit");
  return txn.Commit();
}

}  // namespace slacker
