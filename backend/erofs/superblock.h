// What stands before the inodes of an EROFS image: the superblock and the table of the devices that
// hold the layers' blobs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/erofs/image_tree.h"

namespace slacker::erofs {

// Which layers' blobs a tree refers to.
struct DeviceTable {
  std::vector<uint32_t> layers;      // by device ID - 1: a layer that has this blob
  std::vector<uint16_t> device_ids;  // by layer; 0 where its blob is not referred to
};

// Layers of the same content share a device; devices are in the order of the layers.
// RESOURCE_EXHAUSTED: more devices than EROFS can number, or a blob of 2^32 - 1 blocks.
absl::StatusOr<DeviceTable> AssignDevices(const std::vector<const Layer*>& layers,
                                          const ImageTree& tree);

// Where the device table ends, in bytes from the image's start.
uint64_t DeviceTableEnd(const DeviceTable& devices);

// What the superblock says of the rest of the image.
struct ImageFacts {
  uint64_t blocks = 0;
  uint16_t root_nid = 0;
  uint64_t inodes = 0;
  uint32_t meta_block = 0;
  uint32_t xattr_block = 0;
};

// Writes superblock and device table into the beginning of an image, whose first block is complete
// but for them. The UUID is derived from the chain ID, so that the same layers give the same image.
// REQUIRES: at least a block, and all of the table.
void WriteSuperblock(const std::vector<const Layer*>& layers, const DeviceTable& devices,
                     const ImageFacts& facts, std::string* beginning);

}  // namespace slacker::erofs
