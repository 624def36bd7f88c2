// The tables images, blobs and image_layers: which published images this node has, and the layer
// blobs that they stand on. An image is *referenced* while a row of `snapshots` names its chain.
//
// Every function works inside the transaction given and leaves committing to its caller. Errors are
// those of db.h; DATA_LOSS when a stored digest is not 32 bytes. Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "snapshotter/metastore/db.h"

namespace slacker {

struct ImageRow {
  uint64_t id = 0;  // never reused
  Digest chain_id;
};

struct BlobRow {
  uint64_t id = 0;  // never reused; the FUSE node ID
  Digest record;
  uint64_t size_bytes = 0;  // of the layer blob; 0 for a layer without content
};

// Whether a layer's tar, put together from its blob, was seen to have the layer's diff ID.
enum class Proof : uint8_t { kNotYet = 0, kProved = 1, kRefuted = 2 };

// A layer of an image that is to be inserted.
struct NewLayer {
  Digest record;
  uint64_t blob_size_bytes = 0;
};

absl::StatusOr<std::optional<uint64_t>> FindImage(Txn& txn, const Digest& chain_id);
// Whether it was granted to anybody when that was last asked; false also when there is no such image.
absl::StatusOr<bool> IsForAnybody(Txn& txn, const Digest& chain_id);
absl::Status SetForAnybody(Txn& txn, const Digest& chain_id);
// Bottom first.
absl::StatusOr<std::vector<BlobRow>> ImageLayers(Txn& txn, uint64_t image_id);
absl::StatusOr<std::vector<ImageRow>> AllImages(Txn& txn);
// Those that no snapshot names.
absl::StatusOr<std::vector<ImageRow>> UnreferencedImages(Txn& txn);
absl::StatusOr<bool> IsReferenced(Txn& txn, const Digest& chain_id);

// What the snapshots of an image say it was pulled as (label containerd.io/snapshot/cri.image-ref:
// a hint), sorted, each once.
absl::StatusOr<std::vector<std::string>> NamesOfImage(Txn& txn, const Digest& chain_id);

// The same for every image that stands on a blob; those without a name by their chain ID.
absl::StatusOr<std::vector<std::string>> ImagesOfBlob(Txn& txn, uint64_t blob_id);

// Inserts an image with its layers (bottom first); blobs that are there already are shared. Returns
// the image's ID. REQUIRES: FindImage finds nothing.
absl::StatusOr<uint64_t> InsertImage(Txn& txn, const Digest& chain_id,
                                     std::span<const NewLayer> layers, bool to_anybody);
// With its layers; the blobs stay until DeleteBlob.
absl::Status DeleteImage(Txn& txn, uint64_t image_id);

absl::StatusOr<std::optional<BlobRow>> FindBlob(Txn& txn, uint64_t blob_id);
absl::StatusOr<std::vector<BlobRow>> AllBlobs(Txn& txn);
// Those that belong to no image.
absl::StatusOr<std::vector<BlobRow>> UnreferencedBlobs(Txn& txn);
absl::Status DeleteBlob(Txn& txn, uint64_t blob_id);
// Those of images that snapshots name, with content.
absl::StatusOr<std::vector<BlobRow>> ReferencedBlobs(Txn& txn);
// The IDs of those that containers stand on: of the topmost image below an active snapshot or a view.
absl::StatusOr<std::set<uint64_t>> BlobsUnderContainers(Txn& txn);

// Those with Proof::kNotYet.
absl::StatusOr<std::vector<BlobRow>> UnprovedBlobs(Txn& txn);
// kNotYet also when there is no such blob.
absl::StatusOr<Proof> ProofOf(Txn& txn, uint64_t blob_id);
// Nothing happens when there is no such blob.
absl::Status SetProof(Txn& txn, uint64_t blob_id, Proof proof);

}  // namespace slacker
