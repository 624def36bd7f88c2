// Short byte strings, many of them, in blocks that are never moved: no slack of a growing vector,
// four bytes to refer to one, and pointers that stay valid. What is more than 8 MiB spills
// (backend/base/spill.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "backend/base/spill.h"

namespace slacker {

// Thread-compatible.
class Arena {
 public:
  Arena() = default;
  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;

  static constexpr size_t kBlockBytes = size_t{1} << 16;
  static constexpr size_t kFirstBytes = 2048;  // of the first block: many layers are small
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 32;

  bool HasRoomFor(size_t bytes) const {
    return (blocks_.size() + 1) * kBlockBytes + bytes <= kMaxBytes;
  }

  // Room for so many bytes. REQUIRES: HasRoomFor(bytes), bytes <= kBlockBytes.
  uint32_t Allocate(size_t bytes) {
    if (bytes > room_ || blocks_.empty()) {
      room_ = blocks_.empty() && bytes <= kFirstBytes ? kFirstBytes : kBlockBytes;
      AddBlock();
      used_ = 0;
    }
    room_ -= bytes;
    used_ += bytes;
    return static_cast<uint32_t>((blocks_.size() - 1) * kBlockBytes + used_ - bytes);
  }
  // As many bytes as were allocated there.
  char* At(uint32_t at) { return blocks_[at / kBlockBytes] + at % kBlockBytes; }
  const char* At(uint32_t at) const { return blocks_[at / kBlockBytes] + at % kBlockBytes; }

 private:
  static constexpr size_t kBlocksPerSlab = kMinSpilledBytes / kBlockBytes;

  // Of room_ bytes. The first ones by themselves, then as parts of what is large enough to spill.
  void AddBlock() {
    if (blocks_.size() < kBlocksPerSlab) {
      singles_.push_back(std::make_unique_for_overwrite<char[]>(room_));
      blocks_.push_back(singles_.back().get());
      return;
    }
    const size_t in_slab = blocks_.size() % kBlocksPerSlab;
    if (in_slab == 0) slabs_.emplace_back(kMinSpilledBytes);
    blocks_.push_back(slabs_.back().data() + in_slab * kBlockBytes);
  }

  std::vector<char*> blocks_;
  std::vector<std::unique_ptr<char[]>> singles_;
  std::vector<TableVector<char>> slabs_;
  size_t used_ = 0, room_ = 0;  // of the last block
};

}  // namespace slacker
