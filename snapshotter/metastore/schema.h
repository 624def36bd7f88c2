// The schema of slacker.db and its migrations. `PRAGMA user_version` holds the version; each
// migration is one transaction. docs/formats.md describes the tables.
#pragma once

#include "absl/status/status.h"
#include "snapshotter/metastore/db.h"

namespace slacker {

// Brings the database to the newest version. FAILED_PRECONDITION when it is of a version that this
// program does not know.
absl::Status MigrateSchema(DbConnection& connection);
// FAILED_PRECONDITION unless it is of the newest version.
absl::Status CheckSchema(DbConnection& connection);

}  // namespace slacker
