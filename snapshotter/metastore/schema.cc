#include "snapshotter/metastore/schema.h"

#include <sqlite3.h>

#include <string>

#include "backend/base/status.h"
#include "snapshotter/metastore/migrations.h"

namespace slacker {
namespace {

// Databases of an older version name no oldest one, and are read by their own programs only.
constexpr int64_t kNamesOldest = 4;

absl::StatusOr<int64_t> IntegerOf(DbConnection& connection, const char* sql) {
  ASSIGN_OR_RETURN(sqlite3_stmt * stmt, connection.Prepared(sql));
  absl::StatusOr<int64_t> value;
  switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
      value = sqlite3_column_int64(stmt, 0);
      break;
    case SQLITE_DONE:
      value = Internal(std::string(sql) + " yields no row");
      break;
    default:
      value = connection.Error(sql);
  }
  sqlite3_reset(stmt);  // repeats the error of the step
  return value;
}

int64_t Newest() { return static_cast<int64_t>(Migrations().size()); }

// The version; FAILED_PRECONDITION when it is newer, and not for us.
absl::StatusOr<int64_t> UsableVersion(DbConnection& connection) {
  ASSIGN_OR_RETURN(const int64_t version, IntegerOf(connection, "PRAGMA user_version"));
  if (version >= 0 && version <= Newest()) return version;
  const auto oldest = IntegerOf(connection, "SELECT oldest FROM compatibility");
  if (version > 0 && oldest.ok() && *oldest >= kNamesOldest && *oldest <= Newest()) return version;
  return FailedPrecondition(
      "database has schema version " + std::to_string(version) +
      ", this program knows versions up to " + std::to_string(Newest()) +
      (oldest.ok() ? ", and from " + std::to_string(*oldest) + " on it can be used" : ""));
}

}  // namespace

absl::Status MigrateSchema(DbConnection& connection) {
  ASSIGN_OR_RETURN(const int64_t version, UsableVersion(connection));
  for (int64_t v = version; v < Newest(); ++v) {
    const Migration& migration = Migrations()[static_cast<size_t>(v)];
    const std::string next = std::to_string(v + 1);
    RETURN_IF_ERROR(connection.Execute("BEGIN IMMEDIATE"));
    absl::Status status = connection.Execute(migration.sql);
    if (status.ok()) status = connection.Execute(("PRAGMA user_version=" + next).c_str());
    if (status.ok() && v + 1 >= kNamesOldest && !migration.compatible) {
      status = connection.Execute(("UPDATE compatibility SET oldest=" + next).c_str());
    }
    if (status.ok()) status = connection.Execute("COMMIT");
    if (!status.ok()) {
      (void)connection.Execute("ROLLBACK");
      return Annotate(status, "migrating the schema to version " + next);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSchema(DbConnection& connection) {
  ASSIGN_OR_RETURN(const int64_t version, UsableVersion(connection));
  if (version >= Newest()) return absl::OkStatus();
  return FailedPrecondition("database has schema version " + std::to_string(version) +
                            ", this program reads version " + std::to_string(Newest()));
}

absl::Status CheckMigratable(DbConnection& connection) {
  return UsableVersion(connection).status();
}

}  // namespace slacker
