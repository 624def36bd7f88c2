#include "backend/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>

namespace slacker {

uint32_t Crc32c(std::string_view bytes) {
  constexpr size_t kMaxPiece = 1U << 30;  // the length is an int
  uint32_t state = ~0U;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kMaxPiece);
    // It only reads; its parameter lacks the const.
    auto* begin = reinterpret_cast<unsigned char*>(const_cast<char*>(piece.data()));
    state = crc32_iscsi(begin, static_cast<int>(piece.size()), state);
    bytes.remove_prefix(piece.size());
  }
  return ~state;
}

}  // namespace slacker
