// The EROFS metadata image of an image, as two files:
//   <images>/<id>.erofs  the image; an inode of its own for every build, never changed in place
//   <images>/<id>.meta   what it is, little-endian: "SLKMETA1"; the chain ID; u64 size and
//                        SHA-256 of the image; u32 number of devices; u32 layer position each;
//                        SHA-256 of all before
//
// An image counts as built when its .meta is whole and says what the image is; else it is built
// again, from the records on this node. Thread-safe for different images.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/layer.h"
#include "snapshotter/files/record_files.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

struct MetadataImage {
  std::string path;
  std::vector<uint32_t> devices;  // positions of layers, in the order of the EROFS device table
};

class MetadataImages {
 public:
  // `records` outlives this.
  MetadataImages(std::string directory, const RecordFiles* records)
      : directory_(std::move(directory)), records_(records) {}

  // The kept one, verified. NOT_FOUND: none. DATA_LOSS: damaged, or another chain's.
  absl::StatusOr<MetadataImage> Find(const ImageRow& image, size_t layers) const;
  // Builds and keeps it. DATA_LOSS: a record is missing or damaged on this node.
  // RESOURCE_EXHAUSTED: the disk is full, or EROFS cannot express the image. `look`, which
  // may be null, is shown the layers, bottom first, once it is built.
  absl::StatusOr<MetadataImage> Build(
      const ImageRow& image, const std::vector<BlobRow>& layers,
      const std::function<void(const std::vector<const Layer*>&)>& look = nullptr) const;

  absl::Status Remove(uint64_t image_id) const;
  // Removes every file of an image that is not of `keep`, and what a crash left of any. Names that are
  // none of ours stay.
  absl::Status RemoveAllBut(const std::vector<ImageRow>& keep) const;

 private:
  std::string ImagePath(uint64_t image_id) const;
  std::string MetaPath(uint64_t image_id) const;

  const std::string directory_;
  const RecordFiles* const records_;
};

}  // namespace slacker
