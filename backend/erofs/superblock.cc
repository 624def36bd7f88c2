#include "backend/erofs/superblock.h"

#include <array>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "backend/base/status.h"
#include "backend/erofs/erofs_format.h"

namespace slacker::erofs {
namespace {

constexpr uint64_t kDeviceTableOffset = kSuperblockOffset + sizeof(Superblock);
static_assert(kDeviceTableOffset % sizeof(DeviceSlot) == 0);

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

// A UUID of version 8, which is for schemes of one's own.
void SetUuid(const std::vector<const Layer*>& layers, uint8_t (&uuid)[16]) {
  std::vector<Digest> diff_ids;
  diff_ids.reserve(layers.size());
  for (const Layer* layer : layers) diff_ids.push_back(layer->diff_id);
  if (diff_ids.empty()) return;
  std::memcpy(uuid, ChainId(diff_ids).bytes.data(), sizeof uuid);
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0F) | 0x80);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
}

}  // namespace

absl::StatusOr<DeviceTable> AssignDevices(const std::vector<const Layer*>& layers,
                                          const ImageTree& tree) {
  DeviceTable table;
  std::vector<bool> used(layers.size());
  size_t row = 0;
  for (const TreeInode& inode : tree.inodes) {
    TrimSpilledAround(row++);
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

uint64_t DeviceTableEnd(const DeviceTable& devices) {
  return kDeviceTableOffset + devices.layers.size() * sizeof(DeviceSlot);
}

void WriteSuperblock(const std::vector<const Layer*>& layers, const DeviceTable& devices,
                     const ImageFacts& facts, std::string* beginning) {
  for (size_t i = 0; i < devices.layers.size(); ++i) {
    const Layer& layer = *layers[devices.layers[i]];
    DeviceSlot slot;
    slot.blocks = static_cast<uint32_t>(layer.blob_size_bytes / kBlockSize);
    // The tag is for people: the blob's layer.
    const std::string hex = layer.diff_id.ToHex();
    std::memcpy(slot.tag, hex.data(), sizeof slot.tag);
    std::memcpy(beginning->data() + kDeviceTableOffset + i * sizeof slot, &slot, sizeof slot);
  }
  Superblock super{
      .feature_compat = kCompatSuperblockChecksum | kCompatMtime,
      .root_nid = facts.root_nid,
      .inodes = facts.inodes,
      .blocks = static_cast<uint32_t>(facts.blocks),
      .meta_block = facts.meta_block,
      .xattr_block = facts.xattr_block,
      .feature_incompat = kIncompatChunkedFile | kIncompatDeviceTable,
      .extra_devices = static_cast<uint16_t>(devices.layers.size()),
      .device_table_slot = kDeviceTableOffset / sizeof(DeviceSlot),
  };
  SetUuid(layers, super.uuid);
  char* const at = beginning->data() + kSuperblockOffset;
  std::memcpy(at, &super, sizeof super);
  super.checksum = RawCrc32c({at, kBlockSize - kSuperblockOffset});
  std::memcpy(at, &super, sizeof super);
}

}  // namespace slacker::erofs
