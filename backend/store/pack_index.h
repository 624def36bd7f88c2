// Packs and their indexes as bytes (docs/formats.md, "Packs"). A pack is a small header and then
// stored chunks, one after the other; only its index tells where they are. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"

namespace slacker {

inline constexpr uint64_t kMaxPackBytes = uint64_t{1} << 40;
inline constexpr uint64_t kMaxPackIndexBytes = uint64_t{256} << 20;

struct PackedChunk {
  Digest digest;  // of the uncompressed bytes
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  uint32_t size_bytes = 0;  // uncompressed
  bool compressed = false;
};

struct PackIndex {
  Digest pack;  // SHA-256 of all bytes of the pack: its name
  uint64_t pack_bytes = 0;
  std::vector<PackedChunk> chunks;  // sorted by digest, each once
};

// The first bytes of every pack.
std::string PackHeader();

// Sorts the chunks. REQUIRES: no digest twice.
std::string EncodePackIndex(PackIndex index);

// DATA_LOSS unless it is an undamaged index of this pack, in which every chunk lies within the pack
// and has a possible size.
absl::StatusOr<PackIndex> DecodePackIndex(std::string_view bytes, const Digest& pack);

}  // namespace slacker
