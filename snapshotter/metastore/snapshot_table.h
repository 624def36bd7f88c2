// The tables `snapshots` and `labels`: all SQL about snapshots. Every function works inside the
// caller's transaction and decides nothing about semantics: callers look before they write.
//
// Cost: by name, ID or (ref, parent) O(log n); Chain is O(depth) and CandidateIds O(result).
// Errors are those of db.h; a missing row is an empty optional, never an error. Thread-compatible
// like the transaction it works in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

struct SnapshotRow {
  int64_t id = 0;  // names the directory; never reused
  SnapshotInfo info;
  int64_t parent_id = 0;        // 0 = none; info.parent is its name
  std::optional<Digest> chain;  // a remote snapshot's content
  std::string reason;           // why it took the path it took
  SnapshotUsage usage;          // frozen at Commit

  // The kinds that have a directory of their own: all but remote snapshots and views of a parent.
  bool HasDirectory() const {
    return !chain.has_value() && (info.kind != Kind::kView || parent_id == 0);
  }
};

// What an ordinary snapshot stands on: one step of its ancestry.
struct ChainLink {
  int64_t id = 0;
  std::optional<Digest> chain;
};

// Which snapshots a filter can match at most; unset = any.
struct Candidates {
  std::optional<std::string> name;
  std::optional<std::string> parent;  // "" = without a parent
  std::optional<std::string> ref;     // value of the label kRefLabel
};

class SnapshotTable {
 public:
  static absl::StatusOr<std::optional<SnapshotRow>> Find(Txn& txn, std::string_view name);
  static absl::StatusOr<std::optional<SnapshotRow>> FindById(Txn& txn, int64_t id);
  // A committed remote snapshot with exactly this label, parent and content.
  static absl::StatusOr<bool> HasRemote(Txn& txn, std::string_view ref, int64_t parent_id,
                                        const Digest& chain);
  static absl::StatusOr<bool> HasChildren(Txn& txn, int64_t id);

  // `id` and what is below it, top first, down to and including the first remote snapshot: nothing
  // beneath that one matters.
  static absl::StatusOr<std::vector<ChainLink>> Chain(Txn& txn, int64_t id);

  // IDs of the snapshots that may match; remote ones first, so that whoever takes the first hit of
  // a search by reference takes the verified one. Without any condition: all.
  static absl::StatusOr<std::vector<int64_t>> CandidateIds(Txn& txn, const Candidates& candidates);

  // The largest ID that was ever given to a row.
  static absl::StatusOr<int64_t> LastId(Txn& txn);

  // REQUIRES: name and ID are free; row.parent_id exists. info.parent is not looked at.
  static absl::Status Insert(Txn& txn, const SnapshotRow& row);
  // Writes name, kind, parent, times, labels and usage of the row with this ID.
  static absl::Status Replace(Txn& txn, const SnapshotRow& row);
  // Writes labels and the time of the update.
  static absl::Status SetLabels(Txn& txn, int64_t id, const Labels& labels, int64_t updated_nanos);
  static absl::Status Delete(Txn& txn, int64_t id);
};

}  // namespace slacker
