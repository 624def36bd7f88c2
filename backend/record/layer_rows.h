// The rows of a record's tables: what encoder and decoder share. Bytes: docs/formats.md, "Layer
// records". Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/base/codec.h"
#include "backend/base/spill.h"
#include "backend/record/layer.h"

namespace slacker {

inline constexpr uint32_t kMaxCount = uint32_t{1} << 24;  // rows of a table
inline constexpr size_t kMaxEntryNameBytes = 255;         // of an entry, or an xattr
inline constexpr size_t kMaxLinkTargetBytes = 4095;       // of a symbolic link

// An entry's node: a whiteout, the node after the last one so introduced, or n + kNodeCode.
inline constexpr uint64_t kWhiteoutCode = 0;
inline constexpr uint64_t kNextNodeCode = 1;
inline constexpr uint64_t kNodeCode = 2;

inline uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
inline int64_t UnZigZag(uint64_t v) {
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}

// The chunks of a file without holes.
inline uint64_t FullChunks(uint64_t size_bytes, uint32_t chunk_size) {
  return (size_bytes + chunk_size - 1) / chunk_size;
}

// To be called for every xattr that a loop over nodes looks at: long ones are pages of their tables.
inline void TrimSpilledAt(const XattrView& xattr) {
  constexpr size_t kLongBytes = 512;
  if (xattr.second.size() >= kLongBytes) TrimSpilled();
}

void EncodeNode(const Node& node, Encoder& out);
// `node` is a new one. False where the row is damaged; the type may be any.
bool DecodeNode(Decoder& in, Node* node);

}  // namespace slacker
