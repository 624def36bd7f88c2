#include "snapshotter/metastore/migrations.h"

namespace slacker {
namespace {

constexpr Migration kMigrations[] = {
    // Keys, names, labels and digests are BLOBs: bytes without encoding or collation.
    {R"sql(
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
     false},
    // Whether the store grants the image to anybody; 0 also where it was not asked yet.
    {R"sql(
    ALTER TABLE images ADD COLUMN to_anybody INTEGER NOT NULL DEFAULT 0;
    )sql",
     false},
    // Whether the layer's tar was put together from the cache: 0 not yet, 1 it has the diff ID, 2 it
    // has not.
    {R"sql(
    ALTER TABLE blobs ADD COLUMN proof INTEGER NOT NULL DEFAULT 0;
    )sql",
     false},
    // The oldest version whose programs may use this database.
    {R"sql(
    CREATE TABLE compatibility (oldest INTEGER NOT NULL);
    INSERT INTO compatibility(oldest) VALUES (0);
    )sql",
     false},
};

}  // namespace

std::span<const Migration> Migrations() { return kMigrations; }

}  // namespace slacker
