#include "snapshotter/fill/blob_map.h"

#include <algorithm>
#include <string_view>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/fill/page_sums.h"

namespace slacker {
namespace {

constexpr std::string_view kMagic("SLKMAP3\0", 8);
constexpr std::string_view kMagicBefore("SLKMAP2\0", 8);
constexpr uint64_t kMaxBytes = 2ULL << 30;  // of a blob of 2 TB
constexpr uint64_t kDigestBytes = sizeof(Digest::bytes);
constexpr uint64_t kHeaderBytes = kMagic.size() + kDigestBytes + 8 + 4 + 1;

uint64_t BytesOfBits(uint64_t bits) { return (bits + 7) / 8; }
uint64_t ClaimsBytes(uint32_t chunks) { return kHeaderBytes + BytesOfBits(chunks) + kDigestBytes; }

// Whether `bytes` end in the digest of what is before it.
bool IsSound(std::string_view bytes) {
  const std::string_view body = bytes.substr(0, bytes.size() - kDigestBytes);
  return AsText(Sha256::Of(body).bytes) == bytes.substr(body.size());
}

struct Header {
  bool has_sums = false;
  BlobMap map;
};

absl::StatusOr<Header> DecodeHeader(std::string_view bytes, const std::string& path) {
  if (bytes.size() < kHeaderBytes) return DataLoss(path + " is cut");
  Decoder decoder(bytes);
  const std::string_view magic = decoder.Raw(kMagic.size());
  if (magic != kMagic && magic != kMagicBefore) return DataLoss(path + " has another format");
  Header header;
  header.has_sums = magic == kMagic;
  header.map.record = decoder.Hash();
  header.map.size_bytes = decoder.U64();
  header.map.chunks = decoder.U32();
  header.map.verified = decoder.U8() == 1;
  return header;
}

// `claims`: of the length that the header says.
absl::Status DecodeBits(std::string_view claims, const std::string& path, BlobMap* map) {
  if (!IsSound(claims)) return DataLoss(path + " is damaged");
  const std::string_view bits = claims.substr(kHeaderBytes, BytesOfBits(map->chunks));
  map->words.resize((size_t{map->chunks} + 63) / 64);
  for (size_t byte = 0; byte < bits.size(); ++byte) {
    map->words[byte / 8] |= uint64_t{static_cast<uint8_t>(bits[byte])} << (byte % 8 * 8);
  }
  if (map->chunks % 64 != 0) map->words.back() &= (uint64_t{1} << (map->chunks % 64)) - 1;
  return absl::OkStatus();
}

absl::Status DecodeSums(std::string_view bytes, const std::string& path, BlobMap* map) {
  const uint64_t pages = map->size_bytes / PageSums::kPageBytes;
  const uint64_t before = ClaimsBytes(map->chunks) + BytesOfBits(pages);
  if (bytes.size() < before + kDigestBytes) return DataLoss(path + " is cut");
  if (!IsSound(bytes)) return DataLoss(path + " is damaged");
  const std::string_view bits = bytes.substr(ClaimsBytes(map->chunks), BytesOfBits(pages));
  Decoder decoder(bytes.substr(before, bytes.size() - before - kDigestBytes));
  map->sums.assign(pages, PageSums::kUnknown);
  for (uint64_t page = 0; page < pages; ++page) {
    const bool known = (static_cast<uint8_t>(bits[page / 8]) >> (page % 8) & 1) != 0;
    if (known) map->sums[page] = decoder.U32();
  }
  return decoder.done() ? absl::OkStatus() : DataLoss(path + " has another length");
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
  const auto known = map.sums.size() - static_cast<size_t>(std::count(
                                           map.sums.begin(), map.sums.end(), PageSums::kUnknown));
  std::string out;
  out.reserve(ClaimsBytes(map.chunks) + BytesOfBits(map.sums.size()) + 4 * known + kDigestBytes);
  Encoder encoder(&out);
  encoder.Raw(kMagic);
  encoder.Hash(map.record);
  encoder.U64(map.size_bytes);
  encoder.U32(map.chunks);
  encoder.U8(map.verified ? 1 : 0);
  for (size_t byte = 0; byte < BytesOfBits(map.chunks); ++byte) {
    encoder.U8(static_cast<uint8_t>(map.words[byte / 8] >> (byte % 8 * 8)));
  }
  encoder.Hash(Sha256::Of(out));
  std::string bits(BytesOfBits(map.sums.size()), '\0');
  for (size_t page = 0; page < map.sums.size(); ++page) {
    if (map.sums[page] == PageSums::kUnknown) continue;
    bits[page / 8] = static_cast<char>(bits[page / 8] | 1 << (page % 8));
  }
  encoder.Raw(bits);
  for (const uint32_t sum : map.sums) {
    if (sum != PageSums::kUnknown) encoder.U32(sum);
  }
  encoder.Hash(Sha256::Of(out));
  return out;
}

absl::StatusOr<BlobMap> ReadBlobMap(const std::string& path, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadSmallFile(path, kMaxBytes));
  ASSIGN_OR_RETURN(Header header, DecodeHeader(bytes, path));
  BlobMap& map = header.map;
  // Before there is memory for a sum of each page that it says there is.
  if (map.size_bytes != size_bytes) return DataLoss(path + " is of a blob of another size");
  const uint64_t claims = ClaimsBytes(map.chunks);
  if (bytes.size() < claims) return DataLoss(path + " is cut");
  RETURN_IF_ERROR(DecodeBits(std::string_view(bytes).substr(0, claims), path, &map));
  if (header.has_sums) {
    RETURN_IF_ERROR(DecodeSums(bytes, path, &map));
  } else if (bytes.size() != claims) {
    return DataLoss(path + " has another length");
  } else {
    map.sums.assign(map.size_bytes / PageSums::kPageBytes, PageSums::kUnknown);
  }
  return std::move(map);
}

absl::StatusOr<BlobMap> ReadBlobClaims(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string first, ReadFileStart(path, kHeaderBytes));
  ASSIGN_OR_RETURN(Header header, DecodeHeader(first, path));
  const uint64_t claims = ClaimsBytes(header.map.chunks);
  ASSIGN_OR_RETURN(const std::string bytes, ReadFileStart(path, claims));
  if (bytes.size() < claims) return DataLoss(path + " is cut");
  RETURN_IF_ERROR(DecodeBits(bytes, path, &header.map));
  return std::move(header.map);
}

}  // namespace slacker
