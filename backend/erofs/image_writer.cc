#include "backend/erofs/image_writer.h"

#include <algorithm>
#include <cstring>

#include "backend/base/status.h"
#include "backend/erofs/chunk_layout.h"
#include "backend/erofs/directory_layout.h"

namespace slacker::erofs {
namespace {

constexpr size_t kWindowBytes = size_t{1} << 20;

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

// As the kernel packs device numbers into 32 bits: 12 bits of major, 20 of minor.
uint32_t DeviceNumber(const Node& node) {
  return (node.rdev_minor & 0xFF) | (node.rdev_major & 0xFFF) << 8 |
         (node.rdev_minor & ~0xFFu) << 12;
}

}  // namespace

ImageWriter::ImageWriter(const std::vector<const Layer*>& layers, const ImageTree& tree,
                         const DeviceTable& devices, const XattrTable& xattrs)
    : layers_(layers), tree_(tree), devices_(devices), xattrs_(xattrs) {}

const File* ImageWriter::FileOf(const TreeInode& inode) const {
  if (inode.node->type != NodeType::kRegular || inode.node->file == kNone) return nullptr;
  return &layers_[inode.layer]->files[inode.node->file];
}

uint64_t ImageWriter::OffsetOf(uint32_t index) const {
  return meta_block_ * kBlockSize + uint64_t{nids_[index]} * kInodeSlotBytes;
}

absl::Status ImageWriter::LayOut() {
  const uint64_t table_end = DeviceTableEnd(devices_);
  // The root's NID has 16 bits, so NIDs count from the block in which the table ends; and it must
  // not be 0, which readdir(3) would take for a deleted entry.
  meta_block_ = (table_end - 1) / kBlockSize;
  end_of_inodes_ = table_end;
  ResizeTable(&places_, tree_.inodes.size());
  ResizeTable(&nids_, tree_.inodes.size());
  for (uint32_t i = 0; i < tree_.inodes.size(); ++i) {
    TrimSpilledAround(i);
    RETURN_IF_ERROR(PlaceInode(i));
  }
  xattr_block_ = RoundUp(end_of_inodes_, kBlockSize) / kBlockSize;
  data_area_block_ = xattr_block_ + RoundUp(xattrs_.shared_bytes(), kBlockSize) / kBlockSize;
  if ((data_area_block_ + data_blocks_) * kBlockSize > kMaxImageBytes) {
    return ResourceExhausted("the metadata image would be too large");
  }
  return absl::OkStatus();
}

absl::Status ImageWriter::PlaceInode(uint32_t index) {
  const TreeInode& inode = tree_.inodes[index];
  Place& place = places_[index];
  place.xattr_bytes = xattrs_.BodyBytes(*inode.node);
  if (const File* file = FileOf(inode); file != nullptr && file->size_bytes > 0) {
    const ChunkLayout chunks = LayOutFile(*layers_[inode.layer], *file);
    if (chunks.count > kMaxImageBytes / sizeof(ChunkIndex)) {
      return ResourceExhausted("a sparse file needs too many chunk indexes");
    }
    place.layout = DataLayout::kChunkBased;
    place.size_bytes = file->size_bytes;
    place.data_block = chunks.block_bits;
    const uint64_t head = sizeof(Inode) + place.xattr_bytes;
    place.trailing_bytes = static_cast<uint32_t>(RoundUp(head, sizeof(ChunkIndex)) - head +
                                                 chunks.count * sizeof(ChunkIndex));
  } else if (inode.is_directory) {
    const TableVector<DirectoryBlock> blocks = PackDirectory(StoredEntries(tree_, index));
    place.size_bytes = (blocks.size() - 1) * kBlockSize + blocks.back().bytes;
    PlaceFlatData(&place);
  } else if (inode.node->type == NodeType::kSymlink) {
    place.size_bytes = inode.node->target.size();
    PlaceFlatData(&place);
  }

  uint64_t offset = RoundUp(end_of_inodes_, kInodeSlotBytes);
  const uint64_t together =
      sizeof(Inode) +
      (place.layout == DataLayout::kFlatInline ? place.xattr_bytes + place.trailing_bytes : 0);
  if (offset % kBlockSize + together > kBlockSize) offset = RoundUp(offset, kBlockSize);
  nids_[index] = static_cast<uint32_t>((offset - meta_block_ * kBlockSize) / kInodeSlotBytes);
  end_of_inodes_ = offset + sizeof(Inode) + place.xattr_bytes + place.trailing_bytes;
  if (end_of_inodes_ + data_blocks_ * kBlockSize > kMaxImageBytes) {
    return ResourceExhausted("the metadata image would be too large");
  }
  return absl::OkStatus();
}

// The last part of the data goes behind the inode when inode, xattrs and it fit into one block
// (Linux before 6.2 refuses symlinks whose xattrs leave the inode's block).
void ImageWriter::PlaceFlatData(Place* place) {
  const uint64_t tail = place->size_bytes % kBlockSize;
  place->data_block = static_cast<uint32_t>(data_blocks_);
  data_blocks_ += place->size_bytes / kBlockSize;
  if (tail == 0) return;
  if (sizeof(Inode) + place->xattr_bytes + tail <= kBlockSize) {
    place->layout = DataLayout::kFlatInline;
    place->trailing_bytes = static_cast<uint32_t>(tail);
  } else {
    ++data_blocks_;
  }
}

uint64_t ImageWriter::FlatBlocks(uint32_t index) const {
  const Place& place = places_[index];
  if (place.layout == DataLayout::kChunkBased) return 0;
  const bool own_tail =
      place.layout != DataLayout::kFlatInline && place.size_bytes % kBlockSize != 0;
  return place.size_bytes / kBlockSize + (own_tail ? 1 : 0);
}

absl::Status ImageWriter::Write(const ImageSink& sink) {
  GrowTo(DeviceTableEnd(devices_));
  for (uint32_t i = 0; i < tree_.inodes.size(); ++i) {
    TrimSpilledAround(i);
    const Place& place = places_[i];
    GrowTo(OffsetOf(i) + sizeof(Inode) + place.xattr_bytes + place.trailing_bytes);
    WriteInode(i);
    if (place.trailing_bytes > 0) WriteTrailing(i);
    RETURN_IF_ERROR(Flush(sink));
  }
  GrowTo(xattr_block_ * kBlockSize);
  for (const XattrList::Iterator& xattr : xattrs_.shared()) {
    TrimSpilled();
    const uint64_t offset = window_start_ + window_.size();
    GrowTo(offset + XattrTable::EntryBytes(*xattr));
    XattrTable::WriteEntry(*xattr, At(offset));
    RETURN_IF_ERROR(Flush(sink));
  }
  GrowTo(data_area_block_ * kBlockSize);
  for (uint32_t i = 0; i < tree_.inodes.size(); ++i) {
    TrimSpilledAround(i);
    if (FlatBlocks(i) > 0) RETURN_IF_ERROR(WriteFlatBlocks(i, sink));
  }
  return Flush(sink, true);
}

absl::Status ImageWriter::Flush(const ImageSink& sink, bool force) {
  if (window_.size() < kWindowBytes && !force) return absl::OkStatus();
  if (window_start_ == 0) {
    WriteSuperblock(layers_, devices_,
                    {.blocks = data_area_block_ + data_blocks_,
                     .root_nid = static_cast<uint16_t>(nids_[0]),
                     .inodes = tree_.inodes.size(),
                     .meta_block = static_cast<uint32_t>(meta_block_),
                     .xattr_block = static_cast<uint32_t>(xattr_block_)},
                    &window_);
  }
  RETURN_IF_ERROR(sink(window_));
  window_start_ += window_.size();
  window_.clear();
  return absl::OkStatus();
}

void ImageWriter::WriteInode(uint32_t index) {
  const TreeInode& inode = tree_.inodes[index];
  const Place& place = places_[index];
  Inode stored{
      .format = static_cast<uint16_t>(kExtendedInode | static_cast<uint16_t>(place.layout)
                                                           << kLayoutShift),
      .mode = ModeOf(*inode.node),
      .size_bytes = place.size_bytes,
      .number = index + 1,
      .uid = inode.node->uid,
      .gid = inode.node->gid,
      .mtime_seconds = inode.node->mtime_seconds,
      .mtime_nanos = inode.node->mtime_nanos,
      .nlink = inode.nlink,
  };
  if (place.xattr_bytes > 0) {
    stored.xattr_units =
        static_cast<uint16_t>(1 + (place.xattr_bytes - sizeof(XattrHeader)) / sizeof(uint32_t));
  }
  if (place.layout == DataLayout::kChunkBased) {
    stored.data = kChunkIndexes | place.data_block;
  } else if (inode.node->type == NodeType::kCharDevice ||
             inode.node->type == NodeType::kBlockDevice) {
    stored.data = DeviceNumber(*inode.node);
  } else if (place.size_bytes > 0) {
    stored.data = static_cast<uint32_t>(data_area_block_ + place.data_block);
  }
  char* const at = At(OffsetOf(index));
  std::memcpy(at, &stored, sizeof stored);
  if (place.xattr_bytes > 0) xattrs_.WriteBody(*inode.node, at + sizeof stored);
}

void ImageWriter::WriteTrailing(uint32_t index) {
  const TreeInode& inode = tree_.inodes[index];
  const Place& place = places_[index];
  const uint64_t offset = OffsetOf(index) + sizeof(Inode) + place.xattr_bytes;
  if (place.layout == DataLayout::kChunkBased) {
    WriteChunkIndexes(index, At(RoundUp(offset, sizeof(ChunkIndex))));
  } else if (inode.is_directory) {
    const TableVector<TreeEntry> entries = StoredEntries(tree_, index);
    const DirectoryBlock last = PackDirectory(entries).back();
    WriteDirectoryBlock(tree_, std::span(entries).subspan(last.first, last.count), nids_,
                        At(offset));
  } else {
    const std::string_view target = inode.node->target;
    std::memcpy(At(offset), target.data() + (target.size() - place.trailing_bytes),
                place.trailing_bytes);
  }
}

absl::Status ImageWriter::WriteFlatBlocks(uint32_t index, const ImageSink& sink) {
  const TreeInode& inode = tree_.inodes[index];
  const uint64_t count = FlatBlocks(index);
  uint64_t offset = (data_area_block_ + places_[index].data_block) * kBlockSize;
  if (!inode.is_directory) {
    const std::string_view target = inode.node->target;
    GrowTo(offset + count * kBlockSize);
    std::memcpy(At(offset), target.data(), target.size() - places_[index].trailing_bytes);
    return Flush(sink);
  }
  const TableVector<TreeEntry> entries = StoredEntries(tree_, index);
  const TableVector<DirectoryBlock> blocks = PackDirectory(entries);
  for (size_t i = 0; i < count; ++i, offset += kBlockSize) {
    TrimSpilled();
    GrowTo(offset + kBlockSize);
    WriteDirectoryBlock(tree_, std::span(entries).subspan(blocks[i].first, blocks[i].count), nids_,
                        At(offset));
    RETURN_IF_ERROR(Flush(sink));
  }
  return absl::OkStatus();
}

void ImageWriter::WriteChunkIndexes(uint32_t index, char* out) {
  const TreeInode& inode = tree_.inodes[index];
  const Layer& layer = *layers_[inode.layer];
  const File& file = *FileOf(inode);
  const ChunkLayout layout = LayOutFile(layer, file);
  std::vector<ChunkIndex> indexes(layout.count);
  FillChunkIndexes(layer, file, layout.block_bits, devices_.device_ids[inode.layer], indexes);
  std::memcpy(out, indexes.data(), indexes.size() * sizeof(ChunkIndex));
}

}  // namespace slacker::erofs
