// Prepare with a reference to a published chain.
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "snapshotter/core/core_snapshotter.h"
#include "snapshotter/core/requests.h"

namespace slacker {
namespace {

std::string OrdinaryReason(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return kNotPublished;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return "ordinary: store did not answer";
    case absl::StatusCode::kDataLoss:
      return "ordinary: damaged in the store";
    case absl::StatusCode::kPermissionDenied:
      return "ordinary: store refused";
    case absl::StatusCode::kUnauthenticated:
      return "ordinary: private";
    case absl::StatusCode::kFailedPrecondition:
      return "ordinary: not signed by a trusted key";
    default:
      return "ordinary: error";
  }
}

absl::Status Fulfilled(const std::string& ref) {
  return AlreadyExists("remote snapshot of " + Quoted(ref) + " is there");
}

// A name that no other snapshot has. It says nothing to containerd, which finds the snapshot by its
// label and parent.
absl::StatusOr<std::string> InventName(Txn& txn, int64_t id) {
  std::string name = "remote/" + std::to_string(id);
  while (true) {
    ASSIGN_OR_RETURN(const auto taken, SnapshotTable::Find(txn, name));
    if (!taken.has_value()) return name;
    name += "+";
  }
}

}  // namespace

absl::Status CoreSnapshotter::TryRemote(const std::string& key, const std::string& parent,
                                        const Labels& labels, PathDecision* decision) {
  const auto chain = Digest::Parse(decision->ref);
  if (!chain.ok()) {
    decision->reason = "ordinary: not a chain ID";
    decision->detail = Message(chain.status());
    return absl::OkStatus();
  }
  bool there = false;
  {
    ASSIGN_OR_RETURN(Txn txn, db_->Read());
    ASSIGN_OR_RETURN(const Parent found, CheckNew(txn, key, parent));
    ASSIGN_OR_RETURN(there, SnapshotTable::HasRemote(txn, decision->ref, found.id, *chain));
  }
  if (there) {
    // Somebody's pull brought it here; that does not entitle this one.
    if (const absl::Status allowed = images_->CheckAllowed(*chain, labels); !allowed.ok()) {
      decision->reason = OrdinaryReason(allowed);
      decision->detail = Message(allowed);
      return absl::OkStatus();
    }
  } else {
    // Held until the row refers to the image.
    const absl::StatusOr<ImagePin> pin = images_->Ensure(*chain, labels);
    if (!pin.ok()) {
      decision->reason = OrdinaryReason(pin.status());
      decision->detail = Message(pin.status());
      return absl::OkStatus();
    }
    SLACKER_FAILPOINT("remote.ensured");
    RETURN_IF_ERROR(CommitRemote(key, parent, labels, *chain));
    SLACKER_FAILPOINT("remote.committed");
  }
  decision->remote = true;
  decision->reason = "published";
  return Fulfilled(decision->ref);
}

absl::Status CoreSnapshotter::CommitRemote(const std::string& key, const std::string& parent,
                                           const Labels& labels, const Digest& chain) {
  ASSIGN_OR_RETURN(Txn txn, db_->Write());
  ASSIGN_OR_RETURN(const Parent found, CheckNew(txn, key, parent));
  const std::string& ref = labels.at(std::string(kRefLabel));
  ASSIGN_OR_RETURN(const bool there, SnapshotTable::HasRemote(txn, ref, found.id, chain));
  // An equal call was faster; it is durable when this transaction is.
  if (there) return txn.Commit();
  SnapshotRow row;
  row.id = directories_.NewId();
  ASSIGN_OR_RETURN(row.info.name, InventName(txn, row.id));
  row.info.kind = Kind::kCommitted;
  row.info.created_nanos = row.info.updated_nanos = clock_->WallNanos();
  row.info.labels = labels;
  row.parent_id = found.id;
  row.chain = chain;
  row.reason = "published";
  RETURN_IF_ERROR(SnapshotTable::Insert(txn, row));
  SLACKER_FAILPOINT("remote.before_commit");
  return txn.Commit();
}

}  // namespace slacker
