// Finding a snapshot that must be there.
#pragma once

#include <string>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/core/requests.h"
#include "snapshotter/metastore/snapshot_table.h"

namespace slacker {

// NOT_FOUND when there is no such snapshot.
inline absl::StatusOr<SnapshotRow> FindOrFail(Txn& txn, const std::string& key) {
  ASSIGN_OR_RETURN(auto row, SnapshotTable::Find(txn, key));
  if (!row.has_value()) return NotFound("snapshot " + Quoted(key) + " does not exist");
  return *std::move(row);
}

}  // namespace slacker
