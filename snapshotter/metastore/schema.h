// The schema of slacker.db and its versions (ADR 0033). `PRAGMA user_version` holds the version; each
// migration (migrations.h) is one transaction. Since version 4 the table `compatibility` says what is
// the oldest version whose programs may use the database: older programs go on with it, as it is,
// after a downgrade. docs/formats.md describes the tables.
#pragma once

#include "absl/status/status.h"
#include "snapshotter/metastore/db.h"

namespace slacker {

// Brings the database to the newest version, or leaves it at a newer one that this program may use.
// FAILED_PRECONDITION when it may not; nothing is changed then.
absl::Status MigrateSchema(DbConnection& connection);
// FAILED_PRECONDITION unless it can be used as it is.
absl::Status CheckSchema(DbConnection& connection);
// FAILED_PRECONDITION unless MigrateSchema would accept it.
absl::Status CheckMigratable(DbConnection& connection);

}  // namespace slacker
