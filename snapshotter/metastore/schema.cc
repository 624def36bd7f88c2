#include "snapshotter/metastore/schema.h"

#include <sqlite3.h>

#include <iterator>
#include <string>

#include "backend/base/status.h"

namespace slacker {
namespace {

// migrations[v] takes version v to v + 1. Never edited once released: only appended to.
constexpr const char* kMigrations[] = {
    // Keys, names, labels and digests are BLOBs: bytes without encoding or collation.
    R"sql(
    CREATE TABLE snapshots (
      id INTEGER PRIMARY KEY AUTOINCREMENT,  -- names the directory; never reused
      name BLOB NOT NULL UNIQUE,             -- key or name
      parent INTEGER REFERENCES snapshots(id),
      kind INTEGER NOT NULL,                 -- 1 view, 2 active, 3 committed
      created INTEGER NOT NULL,              -- Unix nanoseconds
      updated INTEGER NOT NULL,
      ref BLOB,                              -- label containerd.io/snapshot.ref, indexed for List
      chain BLOB,                            -- 32 bytes: content of a remote snapshot, else null
      reason BLOB NOT NULL DEFAULT '',       -- why it took the path it took
      size INTEGER NOT NULL DEFAULT 0,       -- usage frozen at Commit
      inodes INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX snapshots_by_parent ON snapshots(parent);
    CREATE INDEX snapshots_by_ref ON snapshots(ref, parent) WHERE ref IS NOT NULL;
    CREATE INDEX snapshots_by_chain ON snapshots(chain) WHERE chain IS NOT NULL;
    CREATE TABLE labels (
      snapshot INTEGER NOT NULL REFERENCES snapshots(id) ON DELETE CASCADE,
      key BLOB NOT NULL,
      value BLOB NOT NULL,
      PRIMARY KEY (snapshot, key)
    ) WITHOUT ROWID;

    CREATE TABLE images (
      id INTEGER PRIMARY KEY AUTOINCREMENT,  -- names the tree's directory; never reused
      chain BLOB NOT NULL UNIQUE
    );
    -- Doubles as the FUSE node: IDs are never reused, because the kernel may hold on to an old one.
    CREATE TABLE blobs (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      record BLOB NOT NULL UNIQUE,           -- name of the layer record
      size INTEGER NOT NULL                  -- of the layer blob, bytes
    );
    CREATE TABLE image_layers (
      image INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
      position INTEGER NOT NULL,             -- 0 = bottom
      blob INTEGER NOT NULL REFERENCES blobs(id),
      PRIMARY KEY (image, position)
    ) WITHOUT ROWID;
    CREATE INDEX image_layers_by_blob ON image_layers(blob);
    -- The first IDs are left to the FUSE root and to what may come.
    INSERT INTO sqlite_sequence(name, seq) VALUES ('blobs', 15);
    )sql",
    // Whether the store grants the image to anybody; 0 also where it was not asked yet.
    R"sql(
    ALTER TABLE images ADD COLUMN to_anybody INTEGER NOT NULL DEFAULT 0;
    )sql",
    // Whether the layer's tar was put together from the cache: 0 not yet, 1 it has the diff ID, 2 it
    // has not.
    R"sql(
    ALTER TABLE blobs ADD COLUMN proof INTEGER NOT NULL DEFAULT 0;
    )sql",
};

constexpr int64_t kNewest = std::size(kMigrations);

absl::StatusOr<int64_t> UserVersion(DbConnection& connection) {
  ASSIGN_OR_RETURN(sqlite3_stmt * stmt, connection.Prepared("PRAGMA user_version"));
  if (sqlite3_step(stmt) != SQLITE_ROW) return Internal("PRAGMA user_version yields no row");
  const int64_t version = sqlite3_column_int64(stmt, 0);
  sqlite3_reset(stmt);
  return version;
}

}  // namespace

absl::Status MigrateSchema(DbConnection& connection) {
  ASSIGN_OR_RETURN(const int64_t version, UserVersion(connection));
  if (version < 0 || version > kNewest) {
    return FailedPrecondition("database has schema version " + std::to_string(version) +
                              ", this program knows versions up to " + std::to_string(kNewest));
  }
  for (int64_t v = version; v < kNewest; ++v) {
    RETURN_IF_ERROR(connection.Execute("BEGIN IMMEDIATE"));
    absl::Status status = connection.Execute(kMigrations[v]);
    const std::string bump = "PRAGMA user_version=" + std::to_string(v + 1);
    if (status.ok()) status = connection.Execute(bump.c_str());
    if (status.ok()) status = connection.Execute("COMMIT");
    if (!status.ok()) {
      (void)connection.Execute("ROLLBACK");
      return Annotate(status, "migrating the schema to version " + std::to_string(v + 1));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSchema(DbConnection& connection) {
  ASSIGN_OR_RETURN(const int64_t version, UserVersion(connection));
  if (version == kNewest) return absl::OkStatus();
  return FailedPrecondition("database has schema version " + std::to_string(version) +
                            ", this program reads version " + std::to_string(kNewest));
}

}  // namespace slacker
