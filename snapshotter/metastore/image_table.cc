#include "snapshotter/metastore/image_table.h"

#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

std::string_view Raw(const Digest& digest) { return AsText(digest.bytes); }

absl::StatusOr<Digest> DigestColumn(const Stmt& stmt, int column) {
  const std::string raw = stmt.Text(column);
  Digest digest;
  if (raw.size() != digest.bytes.size()) return DataLoss("database: a digest is not 32 bytes");
  std::memcpy(digest.bytes.data(), raw.data(), raw.size());
  return digest;
}

// Rows of (id, chain).
absl::StatusOr<std::vector<ImageRow>> ImageRows(Stmt& stmt) {
  std::vector<ImageRow> rows;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, stmt.Step());
    if (!row) return rows;
    ASSIGN_OR_RETURN(const Digest chain, DigestColumn(stmt, 1));
    rows.push_back({static_cast<uint64_t>(stmt.Int(0)), chain});
  }
}

// Rows of (id, record, size).
absl::StatusOr<std::vector<BlobRow>> BlobRows(Stmt& stmt) {
  std::vector<BlobRow> rows;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, stmt.Step());
    if (!row) return rows;
    ASSIGN_OR_RETURN(const Digest record, DigestColumn(stmt, 1));
    rows.push_back(
        {static_cast<uint64_t>(stmt.Int(0)), record, static_cast<uint64_t>(stmt.Int(2))});
  }
}

absl::StatusOr<int64_t> FindOrInsertBlob(Txn& txn, const NewLayer& layer) {
  {
    Stmt find(txn, "SELECT id FROM blobs WHERE record = ?");
    find.BindText(Raw(layer.record));
    ASSIGN_OR_RETURN(const bool found, find.Step());
    if (found) return find.Int(0);
  }
  Stmt insert(txn, "INSERT INTO blobs(record, size) VALUES (?, ?)");
  insert.BindText(Raw(layer.record)).Bind(static_cast<int64_t>(layer.blob_size_bytes));
  RETURN_IF_ERROR(insert.Run());
  return Db::LastInsertId(txn);
}

}  // namespace

absl::StatusOr<std::optional<uint64_t>> FindImage(Txn& txn, const Digest& chain_id) {
  Stmt stmt(txn, "SELECT id FROM images WHERE chain = ?");
  stmt.BindText(Raw(chain_id));
  ASSIGN_OR_RETURN(const bool found, stmt.Step());
  if (!found) return std::optional<uint64_t>();
  return std::optional<uint64_t>(static_cast<uint64_t>(stmt.Int(0)));
}

absl::StatusOr<bool> IsForAnybody(Txn& txn, const Digest& chain_id) {
  Stmt stmt(txn, "SELECT 1 FROM images WHERE chain = ? AND to_anybody = 1");
  stmt.BindText(Raw(chain_id));
  return stmt.Step();
}

absl::Status SetForAnybody(Txn& txn, const Digest& chain_id) {
  Stmt stmt(txn, "UPDATE images SET to_anybody = 1 WHERE chain = ?");
  return stmt.BindText(Raw(chain_id)).Run();
}

absl::StatusOr<std::vector<BlobRow>> ImageLayers(Txn& txn, uint64_t image_id) {
  Stmt stmt(txn,
            "SELECT blobs.id, blobs.record, blobs.size FROM image_layers "
            "JOIN blobs ON blobs.id = image_layers.blob "
            "WHERE image_layers.image = ? ORDER BY image_layers.position");
  stmt.Bind(static_cast<int64_t>(image_id));
  return BlobRows(stmt);
}

absl::StatusOr<std::vector<ImageRow>> AllImages(Txn& txn) {
  Stmt stmt(txn, "SELECT id, chain FROM images ORDER BY id");
  return ImageRows(stmt);
}

absl::StatusOr<std::vector<ImageRow>> UnreferencedImages(Txn& txn) {
  Stmt stmt(txn,
            "SELECT id, chain FROM images WHERE NOT EXISTS "
            "(SELECT 1 FROM snapshots WHERE snapshots.chain = images.chain) ORDER BY id");
  return ImageRows(stmt);
}

absl::StatusOr<bool> IsReferenced(Txn& txn, const Digest& chain_id) {
  Stmt stmt(txn, "SELECT 1 FROM snapshots WHERE chain = ? LIMIT 1");
  stmt.BindText(Raw(chain_id));
  return stmt.Step();
}

absl::StatusOr<std::vector<std::string>> NamesOfImage(Txn& txn, const Digest& chain_id) {
  Stmt stmt(txn,
            "SELECT DISTINCT labels.value FROM snapshots JOIN labels "
            "ON labels.snapshot = snapshots.id WHERE snapshots.chain = ? AND "
            "labels.key = CAST('containerd.io/snapshot/cri.image-ref' AS BLOB) "
            "ORDER BY labels.value");
  stmt.BindText(Raw(chain_id));
  std::vector<std::string> names;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, stmt.Step());
    if (!row) return names;
    names.push_back(stmt.Text(0));
  }
}

absl::StatusOr<std::vector<std::string>> ImagesOfBlob(Txn& txn, uint64_t blob_id) {
  std::vector<Digest> chains;
  {
    Stmt stmt(txn,
              "SELECT DISTINCT images.chain FROM image_layers JOIN images "
              "ON images.id = image_layers.image WHERE image_layers.blob = ?");
    stmt.Bind(static_cast<int64_t>(blob_id));
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, stmt.Step());
      if (!row) break;
      ASSIGN_OR_RETURN(const Digest chain, DigestColumn(stmt, 0));
      chains.push_back(chain);
    }
  }
  std::set<std::string> images;
  for (const Digest& chain : chains) {
    ASSIGN_OR_RETURN(std::vector<std::string> names, NamesOfImage(txn, chain));
    if (names.empty()) names.push_back(chain.ToString());
    images.insert(names.begin(), names.end());
  }
  return std::vector<std::string>(images.begin(), images.end());
}

absl::StatusOr<uint64_t> InsertImage(Txn& txn, const Digest& chain_id,
                                     std::span<const NewLayer> layers, bool to_anybody) {
  {
    Stmt insert(txn, "INSERT INTO images(chain, to_anybody) VALUES (?, ?)");
    RETURN_IF_ERROR(insert.BindText(Raw(chain_id)).Bind(int64_t{to_anybody ? 1 : 0}).Run());
  }
  const int64_t image = Db::LastInsertId(txn);
  for (size_t position = 0; position < layers.size(); ++position) {
    ASSIGN_OR_RETURN(const int64_t blob, FindOrInsertBlob(txn, layers[position]));
    Stmt insert(txn, "INSERT INTO image_layers(image, position, blob) VALUES (?, ?, ?)");
    insert.Bind(image).Bind(static_cast<int64_t>(position)).Bind(blob);
    RETURN_IF_ERROR(insert.Run());
  }
  return static_cast<uint64_t>(image);
}

absl::Status DeleteImage(Txn& txn, uint64_t image_id) {
  return Stmt(txn, "DELETE FROM images WHERE id = ?").Bind(static_cast<int64_t>(image_id)).Run();
}

absl::StatusOr<std::optional<BlobRow>> FindBlob(Txn& txn, uint64_t blob_id) {
  Stmt stmt(txn, "SELECT id, record, size FROM blobs WHERE id = ?");
  stmt.Bind(static_cast<int64_t>(blob_id));
  ASSIGN_OR_RETURN(const std::vector<BlobRow> rows, BlobRows(stmt));
  if (rows.empty()) return std::optional<BlobRow>();
  return std::optional<BlobRow>(rows.front());
}

absl::StatusOr<std::vector<BlobRow>> AllBlobs(Txn& txn) {
  Stmt stmt(txn, "SELECT id, record, size FROM blobs ORDER BY id");
  return BlobRows(stmt);
}

absl::StatusOr<std::vector<BlobRow>> UnreferencedBlobs(Txn& txn) {
  Stmt stmt(txn,
            "SELECT id, record, size FROM blobs WHERE NOT EXISTS "
            "(SELECT 1 FROM image_layers WHERE image_layers.blob = blobs.id) ORDER BY id");
  return BlobRows(stmt);
}

absl::StatusOr<std::vector<BlobRow>> ReferencedBlobs(Txn& txn) {
  Stmt stmt(txn,
            "SELECT id, record, size FROM blobs WHERE size > 0 AND EXISTS "
            "(SELECT 1 FROM image_layers JOIN images ON images.id = image_layers.image "
            "JOIN snapshots ON snapshots.chain = images.chain "
            "WHERE image_layers.blob = blobs.id) ORDER BY id");
  return BlobRows(stmt);
}

absl::StatusOr<std::set<uint64_t>> BlobsUnderContainers(Txn& txn) {
  // Down to the first snapshot that is an image's, as SnapshotTable::Chain does it.
  Stmt stmt(txn,
            "WITH RECURSIVE below(parent, chain) AS ("
            "SELECT parent, chain FROM snapshots WHERE kind IN (1, 2) "
            "UNION SELECT snapshots.parent, snapshots.chain FROM below "
            "JOIN snapshots ON snapshots.id = below.parent WHERE below.chain IS NULL) "
            "SELECT DISTINCT image_layers.blob FROM below "
            "JOIN images ON images.chain = below.chain "
            "JOIN image_layers ON image_layers.image = images.id");
  std::set<uint64_t> ids;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, stmt.Step());
    if (!row) return ids;
    ids.insert(static_cast<uint64_t>(stmt.Int(0)));
  }
}

absl::Status DeleteBlob(Txn& txn, uint64_t blob_id) {
  return Stmt(txn, "DELETE FROM blobs WHERE id = ?").Bind(static_cast<int64_t>(blob_id)).Run();
}

absl::StatusOr<std::vector<BlobRow>> UnprovedBlobs(Txn& txn) {
  Stmt stmt(txn, "SELECT id, record, size FROM blobs WHERE proof = 0 ORDER BY id");
  return BlobRows(stmt);
}

absl::StatusOr<Proof> ProofOf(Txn& txn, uint64_t blob_id) {
  Stmt stmt(txn, "SELECT proof FROM blobs WHERE id = ?");
  stmt.Bind(static_cast<int64_t>(blob_id));
  ASSIGN_OR_RETURN(const bool found, stmt.Step());
  if (!found) return Proof::kNotYet;
  const int64_t proof = stmt.Int(0);
  if (proof < 0 || proof > static_cast<int64_t>(Proof::kRefuted)) {
    return DataLoss("database: a proof is neither of the known ones");
  }
  return static_cast<Proof>(proof);
}

absl::Status SetProof(Txn& txn, uint64_t blob_id, Proof proof) {
  Stmt stmt(txn, "UPDATE blobs SET proof = ? WHERE id = ?");
  return stmt.Bind(static_cast<int64_t>(proof)).Bind(static_cast<int64_t>(blob_id)).Run();
}

}  // namespace slacker
