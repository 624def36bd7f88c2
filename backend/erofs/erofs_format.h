// The part of the EROFS on-disk format that the writer uses, little-endian throughout. Source: the
// Linux kernel, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h; everything here is
// understood by Linux 5.16 and later.
//
// An image is a row of 4096-byte blocks. The superblock stands at byte 1024, the device table
// after it. An inode's number (NID) is its distance from block `meta_block` in units of 32 bytes;
// it is followed by its inline xattrs and then, by layout, by the last part of its data (which may
// not leave the block) or by its chunk indexes.
#pragma once

#include <bit>
#include <cstdint>

namespace slacker::erofs {

static_assert(std::endian::native == std::endian::little, "structures are written as they are");

inline constexpr uint32_t kBlockBits = 12;
inline constexpr uint32_t kSuperblockOffset = 1024;
inline constexpr uint32_t kMagic = 0xE0F5E1E2;
inline constexpr uint32_t kInodeSlotBytes = 32;  // the unit of NIDs

inline constexpr uint32_t kCompatSuperblockChecksum = 0x1;
inline constexpr uint32_t kCompatMtime = 0x2;
inline constexpr uint32_t kIncompatChunkedFile = 0x4;
inline constexpr uint32_t kIncompatDeviceTable = 0x8;

inline constexpr uint32_t kMaxDevices = 65535;
inline constexpr uint32_t kNullBlock = 0xFFFFFFFF;  // a chunk that is a hole

struct Superblock {
  uint32_t magic = kMagic;
  // CRC-32C without the final inversion over the rest of the first block, from the superblock on,
  // with this field 0.
  uint32_t checksum = 0;
  uint32_t feature_compat = 0;
  uint8_t block_bits = kBlockBits;
  uint8_t extra_slots = 0;
  uint16_t root_nid = 0;
  uint64_t inodes = 0;
  uint64_t build_seconds = 0;  // the time of compact inodes; there are none
  uint32_t build_nanos = 0;
  uint32_t blocks = 0;
  uint32_t meta_block = 0;
  uint32_t xattr_block = 0;
  uint8_t uuid[16] = {};
  uint8_t volume_name[16] = {};
  uint32_t feature_incompat = 0;
  uint16_t compression = 0;
  uint16_t extra_devices = 0;
  uint16_t device_table_slot = 0;  // in units of sizeof(DeviceSlot) from the image's start
  uint8_t reserved[38] = {};
};
static_assert(sizeof(Superblock) == 128);

struct DeviceSlot {
  uint8_t tag[64] = {};
  uint32_t blocks = 0;
  uint32_t mapped_block = 0;
  uint8_t reserved[56] = {};
};
static_assert(sizeof(DeviceSlot) == 128);

enum class DataLayout : uint16_t { kFlatPlain = 0, kFlatInline = 2, kChunkBased = 4 };

inline constexpr uint16_t kExtendedInode = 1;       // bit 0 of Inode::format
inline constexpr uint16_t kLayoutShift = 1;         // bits 1 to 3
inline constexpr uint32_t kChunkIndexes = 0x20;     // in Inode::data: 8-byte indexes follow
inline constexpr uint32_t kMaxChunkBlockBits = 31;  // in Inode::data: log2(blocks in a chunk)

struct Inode {
  uint16_t format = 0;
  uint16_t xattr_units = 0;  // 0 = none, else 1 + (size - sizeof(XattrHeader)) / 4
  uint16_t mode = 0;
  uint16_t reserved = 0;
  uint64_t size_bytes = 0;
  uint32_t data = 0;    // flat: first block; devices: number; chunk-based: chunk format
  uint32_t number = 0;  // for 32-bit stat only
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanos = 0;
  uint32_t nlink = 0;
  uint8_t reserved2[16] = {};
};
static_assert(sizeof(Inode) == 64);

struct ChunkIndex {
  uint16_t advise = 0;
  uint16_t device = 0;  // 1, 2, …: position in the device table
  uint32_t block = kNullBlock;
};
static_assert(sizeof(ChunkIndex) == 8);

// A directory's data: in each block the entries, then their names in the same order. The first
// name's offset tells how many entries there are. Names ascend bytewise over the whole directory,
// "." and ".." among them.
struct __attribute__((packed)) DirectoryEntry {
  uint64_t nid = 0;
  uint16_t name_offset = 0;
  uint8_t type = 0;
  uint8_t reserved = 0;
};
static_assert(sizeof(DirectoryEntry) == 12);

struct XattrHeader {
  uint32_t name_filter = 0;  // meaningful only with a feature that is not set
  uint8_t shared_count = 0;  // as many 32-bit IDs of shared xattrs follow, then inline entries
  uint8_t reserved[7] = {};
};
static_assert(sizeof(XattrHeader) == 12);

// Followed by name (without the prefix) and value, padded to 4 bytes. The ID of a shared xattr is
// its distance from block `xattr_block` in units of 4 bytes.
struct XattrEntry {
  uint8_t name_size = 0;
  uint8_t prefix = 0;
  uint16_t value_size = 0;
};
static_assert(sizeof(XattrEntry) == 4);

}  // namespace slacker::erofs
