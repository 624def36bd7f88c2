// Short byte strings, many of them, in blocks that are never moved: no slack of a growing vector,
// four bytes to refer to one, and pointers that stay valid. They spill as tables do
// (backend/base/spill.h).
#pragma once

#include <algorithm>
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
  static constexpr size_t kMaxBlocksPerSlab = kMinSpilledBytes / kBlockBytes;

  struct FreeSlab {
    size_t bytes = 0;
    void operator()(char* slab) const { SpillAllocator<char>().deallocate(slab, bytes); }
  };

  // Of room_ bytes: a part of a slab, each of which has as much as all before it, until it is large
  // enough to spill in any case.
  void AddBlock() {
    if (left_in_slab_ == 0 || blocks_.empty()) {
      left_in_slab_ = std::clamp<size_t>(blocks_.size(), 1, kMaxBlocksPerSlab);
      const size_t bytes = blocks_.empty() ? room_ : left_in_slab_ * kBlockBytes;
      slabs_.emplace_back(SpillAllocator<char>().allocate(bytes), FreeSlab{bytes});
      next_block_ = slabs_.back().get();
    }
    --left_in_slab_;
    blocks_.push_back(next_block_);
    next_block_ += kBlockBytes;
  }

  std::vector<char*> blocks_;
  std::vector<std::unique_ptr<char, FreeSlab>> slabs_;
  char* next_block_ = nullptr;
  size_t left_in_slab_ = 0;     // blocks
  size_t used_ = 0, room_ = 0;  // of the last block
};

}  // namespace slacker
