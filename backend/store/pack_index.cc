#include "backend/store/pack_index.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/layer.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr std::string_view kPackMagic = "SLKP";
constexpr std::string_view kIndexMagic = "SLKX";
constexpr uint32_t kVersion = 1;
constexpr size_t kDigestBytes = sizeof(Digest::bytes);
constexpr size_t kRowBytes = kDigestBytes + 8 + 4 + 4;
constexpr size_t kFanOut = 256;
constexpr uint32_t kCompressed = uint32_t{1} << 31;  // in a row's stored length

// fan_out[b] = number of digests whose first byte is at most b.
std::array<uint32_t, kFanOut> FanOut(const std::vector<PackedChunk>& chunks) {
  std::array<uint32_t, kFanOut> fan_out{};
  for (const PackedChunk& chunk : chunks) ++fan_out[chunk.digest.bytes[0]];
  for (size_t i = 1; i < kFanOut; ++i) fan_out[i] += fan_out[i - 1];
  return fan_out;
}

absl::Status CheckChunk(const PackedChunk& chunk, uint64_t pack_bytes) {
  if (chunk.size_bytes == 0 || chunk.size_bytes > kMaxChunkSize || chunk.stored_bytes == 0 ||
      (chunk.compressed ? chunk.stored_bytes >= chunk.size_bytes
                        : chunk.stored_bytes != chunk.size_bytes)) {
    return DataLoss("impossible size of a chunk");
  }
  if (chunk.offset > pack_bytes || chunk.stored_bytes > pack_bytes - chunk.offset) {
    return DataLoss("chunk beyond the end of the pack");
  }
  return absl::OkStatus();
}

absl::Status DecodeRows(Decoder& in, uint32_t count, PackIndex* index) {
  index->chunks.resize(count);
  const PackedChunk* previous = nullptr;
  for (PackedChunk& chunk : index->chunks) {
    chunk.digest = in.Hash();
    chunk.offset = in.U64();
    const uint32_t stored = in.U32();
    chunk.stored_bytes = stored & ~kCompressed;
    chunk.compressed = (stored & kCompressed) != 0;
    chunk.size_bytes = in.U32();
    if (previous != nullptr && previous->digest >= chunk.digest) return DataLoss("not sorted");
    RETURN_IF_ERROR(CheckChunk(chunk, index->pack_bytes));
    previous = &chunk;
  }
  return absl::OkStatus();
}

absl::StatusOr<PackIndex> Parse(std::string_view bytes, const Digest& pack) {
  if (bytes.size() < kDigestBytes) return DataLoss("truncated");
  const std::string_view content = bytes.substr(0, bytes.size() - kDigestBytes);
  if (Sha256::Of(content) != Decoder(bytes.substr(content.size())).Hash()) {
    return DataLoss("damaged");
  }
  Decoder in(content);
  if (in.Raw(kIndexMagic.size()) != kIndexMagic) return DataLoss("wrong magic");
  if (const uint32_t version = in.U32(); version != kVersion) {
    return DataLoss("unknown version " + std::to_string(version));
  }
  PackIndex index;
  index.pack = in.Hash();
  index.pack_bytes = in.U64();
  if (index.pack != pack) return DataLoss("of another pack");
  if (index.pack_bytes > kMaxPackBytes) return DataLoss("pack too large");
  std::array<uint32_t, kFanOut> fan_out;
  for (uint32_t& below : fan_out) below = in.U32();
  const uint32_t count = fan_out.back();
  if (!in.ok() || in.remaining() != uint64_t{count} * kRowBytes) {
    return DataLoss("wrong number of chunks");
  }
  RETURN_IF_ERROR(DecodeRows(in, count, &index));
  if (FanOut(index.chunks) != fan_out) return DataLoss("wrong fan-out table");
  return index;
}

}  // namespace

std::string PackHeader() {
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(kPackMagic);
  out.U32(kVersion);
  return bytes;
}

std::string EncodePackIndex(PackIndex index) {
  std::sort(index.chunks.begin(), index.chunks.end(),
            [](const PackedChunk& a, const PackedChunk& b) { return a.digest < b.digest; });
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(kIndexMagic);
  out.U32(kVersion);
  out.Hash(index.pack);
  out.U64(index.pack_bytes);
  for (const uint32_t below : FanOut(index.chunks)) out.U32(below);
  for (const PackedChunk& chunk : index.chunks) {
    out.Hash(chunk.digest);
    out.U64(chunk.offset);
    out.U32(chunk.stored_bytes | (chunk.compressed ? kCompressed : 0));
    out.U32(chunk.size_bytes);
  }
  out.Hash(Sha256::Of(bytes));
  return bytes;
}

absl::StatusOr<PackIndex> DecodePackIndex(std::string_view bytes, const Digest& pack) {
  auto index = Parse(bytes, pack);
  if (!index.ok()) return Annotate(index.status(), PackIndexName(pack));
  return index;
}

}  // namespace slacker
