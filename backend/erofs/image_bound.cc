#include "backend/erofs/image_bound.h"

#include "backend/base/status.h"
#include "backend/erofs/erofs_format.h"
#include "backend/erofs/image_writer.h"
#include "backend/erofs/xattr_table.h"

namespace slacker {
namespace {

constexpr uint64_t kBlock = uint64_t{1} << erofs::kBlockBits;
// A xattr's entry beside its name and value, with its padding.
constexpr uint64_t kXattrOverhead = sizeof(erofs::XattrEntry) + 3;
// An inode, less than a slot and a half before it, the padding of its indexes, the header of its
// xattrs.
constexpr uint64_t kInode = sizeof(erofs::Inode) + 2 * erofs::kInodeSlotBytes + 8;
constexpr uint64_t kXattrHeader = sizeof(erofs::XattrHeader);
// With data behind it that may not cross a block: as much as inode and data may be left free before
// it.
constexpr uint64_t kInodeWithData = kInode + sizeof(erofs::Inode);
constexpr uint64_t kDots = 2 * sizeof(erofs::DirectoryEntry) + 3;
// An index covers 8 TiB of a file without holes, and files go up to 16.
constexpr uint64_t kIndexesOfADenseFile = 2;

// The most that the nodes and names of a layer can take in an image. Data counts twice: either it is
// behind its inode (above), or in blocks of which less than half is free, or it has xattrs to thank
// for a block of its own, which are as long as that. Xattrs count three times: behind the inode, what
// was just said, and in the shared area.
uint64_t BoundOf(const LayerTotals& layer) {
  const uint64_t data = layer.directories * kDots + layer.target_bytes + layer.name_bytes +
                        layer.entries * sizeof(erofs::DirectoryEntry);
  const uint64_t xattrs = layer.xattr_bytes + layer.xattrs * (kXattrOverhead + kXattrHeader);
  const uint64_t indexes = layer.nodes * kIndexesOfADenseFile + layer.sparse_chunks;
  return layer.nodes * kInode + (layer.directories + layer.symlinks) * (kInodeWithData - kInode) +
         2 * data + 3 * xattrs + indexes * sizeof(erofs::ChunkIndex);
}

}  // namespace

absl::StatusOr<uint64_t> ErofsBound(const std::vector<LayerTotals>& layers) {
  // Superblock, device table, and what is left of the last block of each area.
  uint64_t bytes = 8 * kBlock + layers.size() * sizeof(erofs::DeviceSlot);
  for (const LayerTotals& layer : layers) {
    if (layer.max_xattr_value_bytes > erofs::kMaxXattrValueBytes ||
        kXattrHeader + layer.max_xattr_bytes + layer.max_xattrs * kXattrOverhead >
            erofs::kMaxXattrBodyBytes) {
      return ResourceExhausted("xattrs that EROFS may not be able to store");
    }
    bytes += BoundOf(layer);
    if (bytes > erofs::kMaxImageBytes) {
      return ResourceExhausted("the metadata image may be too large");
    }
  }
  return bytes;
}

}  // namespace slacker
