// Writes a merged tree as an EROFS image.
//
// Blocks of an image, in this order: superblock and device table; inodes with what stands behind
// them (the root first, then breadth first, so that a directory's inodes are neighbours); shared
// xattrs; directory blocks and long symlink targets that did not fit behind their inode.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/erofs/erofs_format.h"
#include "backend/erofs/image_builder.h"
#include "backend/erofs/image_tree.h"
#include "backend/erofs/superblock.h"
#include "backend/erofs/xattr_table.h"

namespace slacker::erofs {

// The largest image that is built; a sparse file in a hostile layer could ask for any size.
inline constexpr uint64_t kMaxImageBytes = uint64_t{1} << 30;

// One use: construct, LayOut, Write. The references must outlive it. Thread-compatible.
class ImageWriter {
 public:
  ImageWriter(const std::vector<const Layer*>& layers, const ImageTree& tree,
              const DeviceTable& devices, const XattrTable& xattrs);

  // Gives everything its place. RESOURCE_EXHAUSTED: the image would exceed kMaxImageBytes.
  absl::Status LayOut();
  absl::Status Write(const ImageSink& sink);
  uint64_t size_bytes() const { return (data_area_block_ + data_blocks_) * kBlockSize; }

 private:
  struct Place {
    uint64_t size_bytes = 0;  // st_size
    uint32_t data_block = 0;  // flat: relative to the data area; chunk-based: log2 of the chunk
    uint32_t xattr_bytes = 0;
    uint32_t trailing_bytes = 0;  // behind the xattrs: data, or chunk indexes
    DataLayout layout = DataLayout::kFlatPlain;
  };

  const File* FileOf(const TreeInode& inode) const;
  absl::Status PlaceInode(uint32_t index);
  void PlaceFlatData(Place* place);
  // Of directories and symlinks: the blocks that do not stand behind the inode.
  uint64_t FlatBlocks(uint32_t index) const;
  // Makes room, zeros, up to this byte of the image.
  void GrowTo(uint64_t end) { window_.resize(end - window_start_); }
  char* At(uint64_t offset) { return window_.data() + (offset - window_start_); }
  // Hands the window over, if it is large enough or `force`.
  absl::Status Flush(const ImageSink& sink, bool force = false);
  // The inode, and what stands behind it.
  void WriteInode(uint32_t index);
  void WriteTrailing(uint32_t index);
  void WriteChunkIndexes(uint32_t index, char* out);
  absl::Status WriteFlatBlocks(uint32_t index, const ImageSink& sink);
  uint64_t OffsetOf(uint32_t index) const;

  const std::vector<const Layer*>& layers_;
  const ImageTree& tree_;
  const DeviceTable& devices_;
  const XattrTable& xattrs_;
  TableVector<Place> places_;   // by inode
  TableVector<uint32_t> nids_;  // by inode
  uint64_t meta_block_ = 0;
  uint64_t end_of_inodes_ = 0;  // bytes
  uint64_t xattr_block_ = 0;
  uint64_t data_area_block_ = 0;
  uint64_t data_blocks_ = 0;
  // Bytes of the image, from window_start_ on: those before it have been handed over.
  std::string window_;
  uint64_t window_start_ = 0;
};

}  // namespace slacker::erofs
