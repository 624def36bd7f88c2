#include "backend/erofs/image_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "backend/base/status.h"
#include "backend/erofs/chunk_layout.h"
#include "backend/erofs/directory_layout.h"

namespace slacker::erofs {
namespace {

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
    table[i] = crc;
  }
  return table;
}

// CRC-32C without the final inversion.
uint32_t RawCrc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  return crc;
}

// A UUID of version 8 (own scheme) from the chain ID: the same layers, the same image.
void SetUuid(const std::vector<const Layer*>& layers, uint8_t (&uuid)[16]) {
  std::vector<Digest> diff_ids;
  diff_ids.reserve(layers.size());
  for (const Layer* layer : layers) diff_ids.push_back(layer->diff_id);
  if (diff_ids.empty()) return;
  std::memcpy(uuid, ChainId(diff_ids).bytes.data(), sizeof uuid);
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0F) | 0x80);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
}

// As the kernel packs device numbers into 32 bits: 12 bits of major, 20 of minor.
uint32_t DeviceNumber(const Node& node) {
  return (node.rdev_minor & 0xFF) | (node.rdev_major & 0xFFF) << 8 |
         (node.rdev_minor & ~0xFFu) << 12;
}

}  // namespace

absl::StatusOr<DeviceTable> AssignDevices(const std::vector<const Layer*>& layers,
                                          const ImageTree& tree) {
  DeviceTable table;
  std::vector<bool> used(layers.size());
  for (const TreeInode& inode : tree.inodes) {
    if (inode.node->type != NodeType::kRegular || inode.node->file == kNone) continue;
    if (layers[inode.layer]->files[inode.node->file].chunk_count > 0) used[inode.layer] = true;
  }
  table.device_ids.resize(layers.size());
  std::unordered_map<Digest, uint32_t> by_diff_id;
  for (uint32_t i = 0; i < layers.size(); ++i) {
    if (!used[i]) continue;
    const Layer& layer = *layers[i];
    const auto [known, is_new] = by_diff_id.try_emplace(layer.diff_id, i);
    const Layer& same = *layers[known->second];
    if (!is_new && same.chunk_size == layer.chunk_size &&
        same.blob_size_bytes == layer.blob_size_bytes) {
      table.device_ids[i] = table.device_ids[known->second];
      continue;
    }
    if (table.layers.size() == kMaxDevices) {
      return ResourceExhausted("more layers with content than EROFS has device numbers");
    }
    if (layer.blob_size_bytes / kBlockSize >= kNullBlock) {
      return ResourceExhausted("the layer " + layer.diff_id.ToString() +
                               " is larger than an EROFS device");
    }
    table.layers.push_back(i);
    table.device_ids[i] = static_cast<uint16_t>(table.layers.size());
  }
  return table;
}

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

char* ImageWriter::Trailing(uint32_t index) {
  const Place& place = places_[index];
  uint64_t offset = OffsetOf(index) + sizeof(Inode) + place.xattr_bytes;
  if (place.layout == DataLayout::kChunkBased) offset = RoundUp(offset, sizeof(ChunkIndex));
  return image_.data() + offset;
}

absl::Status ImageWriter::LayOut() {
  const uint64_t table_end =
      kSuperblockOffset + sizeof(Superblock) + devices_.layers.size() * sizeof(DeviceSlot);
  // The root's NID has 16 bits, so NIDs count from the block in which the table ends; and it must
  // not be 0, which readdir(3) would take for a deleted entry.
  meta_block_ = (table_end - 1) / kBlockSize;
  end_of_inodes_ = table_end;
  places_.resize(tree_.inodes.size());
  nids_.resize(tree_.inodes.size());
  for (uint32_t i = 0; i < tree_.inodes.size(); ++i) RETURN_IF_ERROR(PlaceInode(i));
  xattr_block_ = RoundUp(end_of_inodes_, kBlockSize) / kBlockSize;
  data_area_block_ = xattr_block_ + RoundUp(xattrs_.shared_area().size(), kBlockSize) / kBlockSize;
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
    const std::vector<DirectoryBlock> blocks = PackDirectory(StoredEntries(tree_, index));
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
  place->data_block = data_blocks_;
  data_blocks_ += place->size_bytes / kBlockSize;
  if (tail == 0) return;
  if (sizeof(Inode) + place->xattr_bytes + tail <= kBlockSize) {
    place->layout = DataLayout::kFlatInline;
    place->trailing_bytes = static_cast<uint32_t>(tail);
  } else {
    ++data_blocks_;
  }
}

std::string ImageWriter::Write() {
  image_.resize((data_area_block_ + data_blocks_) * kBlockSize);
  for (uint32_t i = 0; i < tree_.inodes.size(); ++i) {
    WriteInode(i);
    if (tree_.inodes[i].is_directory) WriteDirectory(i);
    if (tree_.inodes[i].node->type == NodeType::kSymlink) WriteSymlink(i);
    if (places_[i].layout == DataLayout::kChunkBased) WriteChunkIndexes(i);
  }
  const std::string& shared = xattrs_.shared_area();
  std::copy(shared.begin(), shared.end(), image_.data() + xattr_block_ * kBlockSize);
  WriteSuperblock();
  return std::move(image_);
}

void ImageWriter::WriteSuperblock() {
  const uint64_t table_offset = kSuperblockOffset + sizeof(Superblock);
  for (size_t i = 0; i < devices_.layers.size(); ++i) {
    const Layer& layer = *layers_[devices_.layers[i]];
    DeviceSlot slot;
    slot.blocks = static_cast<uint32_t>(layer.blob_size_bytes / kBlockSize);
    // The tag is for people: the blob's layer.
    const std::string hex = layer.diff_id.ToHex();
    std::memcpy(slot.tag, hex.data(), sizeof slot.tag);
    std::memcpy(image_.data() + table_offset + i * sizeof slot, &slot, sizeof slot);
  }
  Superblock super{
      .feature_compat = kCompatSuperblockChecksum | kCompatMtime,
      .root_nid = static_cast<uint16_t>(nids_[0]),
      .inodes = tree_.inodes.size(),
      .blocks = static_cast<uint32_t>(image_.size() / kBlockSize),
      .meta_block = static_cast<uint32_t>(meta_block_),
      .xattr_block = static_cast<uint32_t>(xattr_block_),
      .feature_incompat = kIncompatChunkedFile | kIncompatDeviceTable,
      .extra_devices = static_cast<uint16_t>(devices_.layers.size()),
      .device_table_slot = table_offset / sizeof(DeviceSlot),
  };
  SetUuid(layers_, super.uuid);
  char* const at = image_.data() + kSuperblockOffset;
  std::memcpy(at, &super, sizeof super);
  super.checksum = RawCrc32c({at, kBlockSize - kSuperblockOffset});
  std::memcpy(at, &super, sizeof super);
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
    stored.data = kChunkIndexes | static_cast<uint32_t>(place.data_block);
  } else if (inode.node->type == NodeType::kCharDevice ||
             inode.node->type == NodeType::kBlockDevice) {
    stored.data = DeviceNumber(*inode.node);
  } else if (place.size_bytes > 0) {
    stored.data = static_cast<uint32_t>(data_area_block_ + place.data_block);
  }
  char* const at = image_.data() + OffsetOf(index);
  std::memcpy(at, &stored, sizeof stored);
  if (place.xattr_bytes > 0) xattrs_.WriteBody(*inode.node, at + sizeof stored);
}

void ImageWriter::WriteDirectory(uint32_t index) {
  const Place& place = places_[index];
  const std::vector<TreeEntry> entries = StoredEntries(tree_, index);
  const std::vector<DirectoryBlock> blocks = PackDirectory(entries);
  char* out = image_.data() + (data_area_block_ + place.data_block) * kBlockSize;
  for (size_t i = 0; i < blocks.size(); ++i, out += kBlockSize) {
    const bool behind_inode = i + 1 == blocks.size() && place.layout == DataLayout::kFlatInline;
    WriteDirectoryBlock(tree_, std::span(entries).subspan(blocks[i].first, blocks[i].count), nids_,
                        behind_inode ? Trailing(index) : out);
  }
}

void ImageWriter::WriteSymlink(uint32_t index) {
  const Place& place = places_[index];
  const std::string& target = tree_.inodes[index].node->target;
  const size_t behind_inode = place.layout == DataLayout::kFlatInline ? place.trailing_bytes : 0;
  const size_t in_blocks = target.size() - behind_inode;
  std::memcpy(image_.data() + (data_area_block_ + place.data_block) * kBlockSize, target.data(),
              in_blocks);
  std::memcpy(Trailing(index), target.data() + in_blocks, behind_inode);
}

void ImageWriter::WriteChunkIndexes(uint32_t index) {
  const TreeInode& inode = tree_.inodes[index];
  const Layer& layer = *layers_[inode.layer];
  const File& file = *FileOf(inode);
  const ChunkLayout layout = LayOutFile(layer, file);
  std::vector<ChunkIndex> indexes(layout.count);
  FillChunkIndexes(layer, file, layout.block_bits, devices_.device_ids[inode.layer], indexes);
  std::memcpy(Trailing(index), indexes.data(), indexes.size() * sizeof(ChunkIndex));
}

}  // namespace slacker::erofs
