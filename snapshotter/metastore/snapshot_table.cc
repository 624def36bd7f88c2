#include "snapshotter/metastore/snapshot_table.h"

#include <algorithm>
#include <unordered_set>

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

// Column order of ReadRow.
#define SLACKER_SNAPSHOT_COLUMNS                                                          \
  "SELECT s.id, s.name, s.kind, s.created, s.updated, s.parent, p.name, s.chain, "        \
  "s.reason, s.size, s.inodes FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent " \
  "WHERE "

absl::Status ReadChain(const Stmt& stmt, int column, std::optional<Digest>* chain) {
  if (stmt.IsNull(column)) return absl::OkStatus();
  const std::string raw = stmt.Text(column);
  Decoder decoder(raw);
  *chain = decoder.Hash();
  return decoder.done() ? absl::OkStatus() : DataLoss("a chain ID in the database is malformed");
}

std::string RawDigest(const Digest& digest) { return std::string(AsText(digest.bytes)); }

absl::Status ReadLabels(Txn& txn, SnapshotRow* row) {
  Stmt stmt(txn, "SELECT key, value FROM labels WHERE snapshot = ?");
  stmt.Bind(row->id);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, stmt.Step());
    if (!more) return absl::OkStatus();
    row->info.labels.emplace(stmt.Text(0), stmt.Text(1));
  }
}

absl::StatusOr<std::optional<SnapshotRow>> ReadRow(Txn& txn, Stmt& stmt) {
  ASSIGN_OR_RETURN(const bool found, stmt.Step());
  if (!found) return std::optional<SnapshotRow>();
  SnapshotRow row;
  row.id = stmt.Int(0);
  row.info.name = stmt.Text(1);
  row.info.kind = static_cast<Kind>(stmt.Int(2));
  row.info.created_nanos = stmt.Int(3);
  row.info.updated_nanos = stmt.Int(4);
  row.parent_id = stmt.Int(5);
  row.info.parent = stmt.Text(6);
  RETURN_IF_ERROR(ReadChain(stmt, 7, &row.chain));
  row.reason = stmt.Text(8);
  row.usage = {.size_bytes = stmt.Int(9), .inodes = stmt.Int(10)};
  RETURN_IF_ERROR(ReadLabels(txn, &row));
  return std::optional<SnapshotRow>(std::move(row));
}

void BindParent(Stmt& stmt, int64_t parent_id) {
  if (parent_id == 0) {
    stmt.BindNull();
  } else {
    stmt.Bind(parent_id);
  }
}

void BindRef(Stmt& stmt, const Labels& labels) {
  const auto ref = labels.find(std::string(kRefLabel));
  if (ref == labels.end()) {
    stmt.BindNull();
  } else {
    stmt.BindText(ref->second);
  }
}

absl::Status InsertLabels(Txn& txn, int64_t id, const Labels& labels) {
  for (const auto& [key, value] : labels) {
    RETURN_IF_ERROR(Stmt(txn, "INSERT INTO labels(snapshot, key, value) VALUES (?, ?, ?)")
                        .Bind(id)
                        .BindText(key)
                        .BindText(value)
                        .Run());
  }
  return absl::OkStatus();
}

absl::Status ReplaceLabels(Txn& txn, int64_t id, const Labels& labels) {
  RETURN_IF_ERROR(Stmt(txn, "DELETE FROM labels WHERE snapshot = ?").Bind(id).Run());
  return InsertLabels(txn, id, labels);
}

absl::StatusOr<std::vector<int64_t>> ReadIds(Stmt& stmt) {
  std::vector<int64_t> ids;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, stmt.Step());
    if (!more) return ids;
    ids.push_back(stmt.Int(0));
  }
}

absl::StatusOr<std::vector<int64_t>> IdsByRef(Txn& txn, const std::string& ref) {
  Stmt stmt(txn, "SELECT id FROM snapshots WHERE ref = ? ORDER BY chain IS NULL, id");
  return ReadIds(stmt.BindText(ref));
}

absl::StatusOr<std::vector<int64_t>> IdsByParent(Txn& txn, const std::string& parent) {
  if (parent.empty()) {
    Stmt stmt(txn, "SELECT id FROM snapshots WHERE parent IS NULL");
    return ReadIds(stmt);
  }
  Stmt stmt(txn,
            "SELECT id FROM snapshots WHERE parent = (SELECT id FROM snapshots WHERE name = ?)");
  return ReadIds(stmt.BindText(parent));
}

absl::StatusOr<std::vector<int64_t>> IdsByRefAndParent(Txn& txn, const std::string& ref,
                                                       const std::string& parent) {
  if (parent.empty()) {
    Stmt stmt(txn,
              "SELECT id FROM snapshots WHERE ref = ? AND parent IS NULL "
              "ORDER BY chain IS NULL, id");
    return ReadIds(stmt.BindText(ref));
  }
  Stmt stmt(txn,
            "SELECT id FROM snapshots WHERE ref = ? AND parent = "
            "(SELECT id FROM snapshots WHERE name = ?) ORDER BY chain IS NULL, id");
  return ReadIds(stmt.BindText(ref).BindText(parent));
}

}  // namespace

absl::StatusOr<std::optional<SnapshotRow>> SnapshotTable::Find(Txn& txn, std::string_view name) {
  Stmt stmt(txn, SLACKER_SNAPSHOT_COLUMNS "s.name = ?");
  return ReadRow(txn, stmt.BindText(name));
}

absl::StatusOr<std::optional<SnapshotRow>> SnapshotTable::FindById(Txn& txn, int64_t id) {
  Stmt stmt(txn, SLACKER_SNAPSHOT_COLUMNS "s.id = ?");
  return ReadRow(txn, stmt.Bind(id));
}

absl::StatusOr<bool> SnapshotTable::HasRemote(Txn& txn, std::string_view ref, int64_t parent_id,
                                              const Digest& chain) {
  Stmt stmt(txn,
            "SELECT 1 FROM snapshots WHERE ref = ? AND parent IS ? AND chain = ? AND kind = 3");
  stmt.BindText(ref);
  BindParent(stmt, parent_id);
  return stmt.BindText(RawDigest(chain)).Step();
}

absl::StatusOr<bool> SnapshotTable::HasChildren(Txn& txn, int64_t id) {
  return Stmt(txn, "SELECT 1 FROM snapshots WHERE parent = ? LIMIT 1").Bind(id).Step();
}

absl::StatusOr<std::vector<ChainLink>> SnapshotTable::Chain(Txn& txn, int64_t id) {
  std::vector<ChainLink> links;
  std::unordered_set<int64_t> seen;  // a damaged database may have parents in a circle
  while (id != 0) {
    if (!seen.insert(id).second) {
      return DataLoss("snapshot " + std::to_string(id) + " is a parent of its own");
    }
    Stmt stmt(txn, "SELECT parent, chain FROM snapshots WHERE id = ?");
    ASSIGN_OR_RETURN(const bool found, stmt.Bind(id).Step());
    if (!found) return DataLoss("snapshot " + std::to_string(id) + " is named as a parent only");
    ChainLink link{.id = id, .chain = std::nullopt};
    RETURN_IF_ERROR(ReadChain(stmt, 1, &link.chain));
    links.push_back(link);
    if (link.chain.has_value()) break;
    id = stmt.Int(0);
  }
  return links;
}

absl::StatusOr<std::vector<int64_t>> SnapshotTable::CandidateIds(Txn& txn,
                                                                 const Candidates& candidates) {
  if (candidates.name.has_value()) {
    Stmt stmt(txn, "SELECT id FROM snapshots WHERE name = ?");
    return ReadIds(stmt.BindText(*candidates.name));
  }
  if (candidates.ref.has_value() && candidates.parent.has_value()) {
    return IdsByRefAndParent(txn, *candidates.ref, *candidates.parent);
  }
  if (candidates.ref.has_value()) return IdsByRef(txn, *candidates.ref);
  if (candidates.parent.has_value()) return IdsByParent(txn, *candidates.parent);
  Stmt stmt(txn, "SELECT id FROM snapshots ORDER BY id");
  return ReadIds(stmt);
}

absl::StatusOr<int64_t> SnapshotTable::LastId(Txn& txn) {
  Stmt stmt(txn, "SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'");
  ASSIGN_OR_RETURN(const bool found, stmt.Step());
  return found ? stmt.Int(0) : 0;
}

absl::Status SnapshotTable::Insert(Txn& txn, const SnapshotRow& row) {
  Stmt stmt(txn,
            "INSERT INTO snapshots(id, name, kind, created, updated, parent, ref, chain, reason, "
            "size, inodes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  stmt.Bind(row.id).BindText(row.info.name).Bind(static_cast<int64_t>(row.info.kind));
  stmt.Bind(row.info.created_nanos).Bind(row.info.updated_nanos);
  BindParent(stmt, row.parent_id);
  BindRef(stmt, row.info.labels);
  if (row.chain.has_value()) {
    stmt.BindText(RawDigest(*row.chain));
  } else {
    stmt.BindNull();
  }
  stmt.BindText(row.reason).Bind(row.usage.size_bytes).Bind(row.usage.inodes);
  RETURN_IF_ERROR(stmt.Run());
  return InsertLabels(txn, row.id, row.info.labels);
}

absl::Status SnapshotTable::Replace(Txn& txn, const SnapshotRow& row) {
  Stmt stmt(txn,
            "UPDATE snapshots SET name = ?, kind = ?, created = ?, updated = ?, parent = ?, "
            "ref = ?, size = ?, inodes = ? WHERE id = ?");
  stmt.BindText(row.info.name).Bind(static_cast<int64_t>(row.info.kind));
  stmt.Bind(row.info.created_nanos).Bind(row.info.updated_nanos);
  BindParent(stmt, row.parent_id);
  BindRef(stmt, row.info.labels);
  stmt.Bind(row.usage.size_bytes).Bind(row.usage.inodes).Bind(row.id);
  RETURN_IF_ERROR(stmt.Run());
  return ReplaceLabels(txn, row.id, row.info.labels);
}

absl::Status SnapshotTable::SetLabels(Txn& txn, int64_t id, const Labels& labels,
                                      int64_t updated_nanos) {
  Stmt stmt(txn, "UPDATE snapshots SET ref = ?, updated = ? WHERE id = ?");
  BindRef(stmt, labels);
  RETURN_IF_ERROR(stmt.Bind(updated_nanos).Bind(id).Run());
  return ReplaceLabels(txn, id, labels);
}

absl::Status SnapshotTable::Delete(Txn& txn, int64_t id) {
  return Stmt(txn, "DELETE FROM snapshots WHERE id = ?").Bind(id).Run();
}

}  // namespace slacker
