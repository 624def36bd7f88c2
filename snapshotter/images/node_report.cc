#include "snapshotter/images/node_report.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>
#include <utility>

#include "backend/base/status.h"
#include "backend/os/loop_device.h"
#include "snapshotter/attach/tree_operations.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/fill/blob_cache.h"
#include "snapshotter/metastore/db.h"

namespace slacker {
namespace {

// Blobs that loop devices read from their cache files.
std::set<uint64_t> BlobsOnCaches(const std::string& root) {
  std::set<uint64_t> blobs;
  const std::unique_ptr<char, void (*)(void*)> canonical(
      realpath((root + "/blobs").c_str(), nullptr), free);
  const auto loops = ListLoopDevices();
  if (canonical == nullptr || !loops.ok()) return blobs;  // nothing is attached there
  for (const LoopBacking& loop : *loops) {
    uint64_t blob = 0;
    if (attach::ParseCachePath(canonical.get(), loop.backing_path, &blob)) blobs.insert(blob);
  }
  return blobs;
}

absl::StatusOr<NodeImage> Describe(Txn& txn, const std::string& root,
                                   const std::set<uint64_t>& on_caches, const ImageRow& row) {
  NodeImage image{.chain_id = row.chain_id, .names = {}, .layers = {}};
  image.attached = attach::IsMountPoint(TreePath(root, row.id));
  ASSIGN_OR_RETURN(image.names, NamesOfImage(txn, row.chain_id));
  ASSIGN_OR_RETURN(const std::vector<BlobRow> blobs, ImageLayers(txn, row.id));
  for (const BlobRow& blob : blobs) {
    ASSIGN_OR_RETURN(const Proof proof, ProofOf(txn, blob.id));
    const std::string stem = root + "/blobs/" + std::to_string(blob.id);
    const int64_t cached = AllocatedBytes(stem + ".data");
    image.layers.push_back(
        {.record = blob.record,
         .size_bytes = blob.size_bytes,
         // File systems count their own blocks in, too.
         .cached_bytes = std::min(static_cast<uint64_t>(cached), blob.size_bytes),
         .complete =
             blob.size_bytes == 0 || BlobCache::IsSealedOnDisk(stem, blob.record, blob.size_bytes),
         .switched = on_caches.contains(blob.id),
         .proof = proof});
  }
  return image;
}

}  // namespace

absl::StatusOr<std::vector<NodeImage>> ReadNodeImages(const std::string& root) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Db> db, Db::OpenForReading(root + "/slacker.db"));
  ASSIGN_OR_RETURN(Txn txn, db->Read());
  ASSIGN_OR_RETURN(const std::vector<ImageRow> rows, AllImages(txn));
  const std::set<uint64_t> on_caches = BlobsOnCaches(root);
  std::vector<NodeImage> images;
  for (const ImageRow& row : rows) {
    ASSIGN_OR_RETURN(NodeImage image, Describe(txn, root, on_caches, row));
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace slacker
