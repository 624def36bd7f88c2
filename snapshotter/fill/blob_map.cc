#include "snapshotter/fill/blob_map.h"

#include <algorithm>
#include <string_view>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

constexpr std::string_view kMagic("SLKMAP2\0", 8);
constexpr uint64_t kMaxBytes = 1ULL << 30;

size_t EncodedSize(uint32_t chunks) {
  constexpr size_t kDigestBytes = sizeof(Digest::bytes);
  return kMagic.size() + kDigestBytes + 8 + 4 + 1 + (size_t{chunks} + 7) / 8 + kDigestBytes;
}

}  // namespace

bool BlobMap::IsFull() const {
  for (uint32_t word = 0; word < words.size(); ++word) {
    const uint32_t bits = std::min<uint32_t>(64, chunks - word * 64);
    const uint64_t all = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    if (words[word] != all) return false;
  }
  return true;
}

std::string EncodeBlobMap(const BlobMap& map) {
  std::string out;
  out.reserve(EncodedSize(map.chunks));
  Encoder encoder(&out);
  encoder.Raw(kMagic);
  encoder.Hash(map.record);
  encoder.U64(map.size_bytes);
  encoder.U32(map.chunks);
  encoder.U8(map.verified ? 1 : 0);
  for (size_t byte = 0; byte < (size_t{map.chunks} + 7) / 8; ++byte) {
    encoder.U8(static_cast<uint8_t>(map.words[byte / 8] >> (byte % 8 * 8)));
  }
  encoder.Hash(Sha256::Of(out));
  return out;
}

absl::StatusOr<BlobMap> ReadBlobMap(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadSmallFile(path, kMaxBytes));
  BlobMap map;
  if (bytes.size() < EncodedSize(0)) return DataLoss(path + " is cut");
  const size_t body_size = bytes.size() - sizeof(Digest::bytes);
  const std::string_view body = std::string_view(bytes).substr(0, body_size);
  if (AsText(Sha256::Of(body).bytes) != std::string_view(bytes).substr(body_size)) {
    return DataLoss(path + " is damaged");
  }
  Decoder decoder(body);
  if (decoder.Raw(kMagic.size()) != kMagic) return DataLoss(path + " has another format");
  map.record = decoder.Hash();
  map.size_bytes = decoder.U64();
  map.chunks = decoder.U32();
  map.verified = decoder.U8() == 1;
  if (bytes.size() != EncodedSize(map.chunks)) return DataLoss(path + " has another length");
  const std::string_view bits = decoder.Raw((size_t{map.chunks} + 7) / 8);
  map.words.resize((size_t{map.chunks} + 63) / 64);
  for (uint32_t chunk = 0; chunk < map.chunks; ++chunk) {
    const bool set = (static_cast<uint8_t>(bits[chunk / 8]) >> (chunk % 8) & 1) != 0;
    if (set) map.words[chunk / 64] |= uint64_t{1} << (chunk % 64);
  }
  return map;
}

}  // namespace slacker
