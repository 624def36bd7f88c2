#include "snapshotter/images/node_report.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/metastore/db.h"

namespace slacker {
namespace {

absl::StatusOr<NodeImage> Describe(Txn& txn, const std::string& root, const ImageRow& row) {
  NodeImage image{.chain_id = row.chain_id, .names = {}, .layers = {}};
  ASSIGN_OR_RETURN(image.names, NamesOfImage(txn, row.chain_id));
  ASSIGN_OR_RETURN(const std::vector<BlobRow> blobs, ImageLayers(txn, row.id));
  for (const BlobRow& blob : blobs) {
    ASSIGN_OR_RETURN(const Proof proof, ProofOf(txn, blob.id));
    const int64_t cached = AllocatedBytes(root + "/blobs/" + std::to_string(blob.id) + ".data");
    image.layers.push_back(
        {.record = blob.record,
         .size_bytes = blob.size_bytes,
         // File systems count their own blocks in, too.
         .cached_bytes = std::min(static_cast<uint64_t>(cached), blob.size_bytes),
         .proof = proof});
  }
  return image;
}

}  // namespace

absl::StatusOr<std::vector<NodeImage>> ReadNodeImages(const std::string& root) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Db> db, Db::OpenForReading(root + "/slacker.db"));
  ASSIGN_OR_RETURN(Txn txn, db->Read());
  ASSIGN_OR_RETURN(const std::vector<ImageRow> rows, AllImages(txn));
  std::vector<NodeImage> images;
  for (const ImageRow& row : rows) {
    ASSIGN_OR_RETURN(NodeImage image, Describe(txn, root, row));
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace slacker
