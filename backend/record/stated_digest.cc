#include "backend/record/stated_digest.h"

#include <cstdint>
#include <string_view>

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr uint32_t kMaxHeaderBytes = 4 << 20;  // of any format

}  // namespace

absl::StatusOr<Digest> StatedDigest(ObjectBytes& bytes) {
  ASSIGN_OR_RETURN(const std::string_view length, bytes.Next(sizeof(uint32_t)));
  if (length.size() < sizeof(uint32_t)) return DataLoss("truncated header");
  const uint32_t header_bytes = Decoder(length).U32();
  if (header_bytes > kMaxHeaderBytes) return DataLoss("header too large");
  ASSIGN_OR_RETURN(const std::string_view header, bytes.Next(header_bytes));
  if (header.size() < header_bytes) return DataLoss("truncated header");
  return Sha256::Of(header);
}

}  // namespace slacker
