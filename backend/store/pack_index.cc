#include "backend/store/pack_index.h"

#include <algorithm>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/layer.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr std::string_view kPackMagic = "SLKP";
constexpr std::string_view kIndexMagic = "SLKX";
constexpr uint32_t kIndexVersion = 1;
constexpr size_t kIndexDigestBytes = sizeof(Digest::bytes);
constexpr size_t kRowBytes = kIndexDigestBytes + 4 + 8 + 4 + 4;
constexpr size_t kChecksumBytes = 16;  // of a bucket
constexpr uint32_t kMaxBits = 22;
constexpr uint64_t kRowsInBucket = 64;                    // at most, on average
constexpr uint64_t kIndexHeaderBytes = 8;                 // magic and version
constexpr uint32_t kIndexCompressed = uint32_t{1} << 31;  // in a row's stored length
constexpr uint64_t kMaxRows = uint64_t{1} << 31;

uint32_t FirstBits(const Digest& digest, uint32_t bits) {
  const uint32_t first = uint32_t{digest.bytes[0]} << 24 | uint32_t{digest.bytes[1]} << 16 |
                         uint32_t{digest.bytes[2]} << 8 | digest.bytes[3];
  return bits == 0 ? 0 : first >> (32 - bits);
}

std::string BucketChecksum(const Digest& id, uint32_t bucket, std::string_view rows) {
  std::string head;
  Encoder out(&head);
  out.Hash(id);
  out.U32(bucket);
  Sha256 hash;
  hash.Update(head);
  hash.Update(rows);
  const Digest digest = hash.Finish();
  return std::string(AsText(digest.bytes).substr(0, kChecksumBytes));
}

Digest DirectoryChecksum(const Digest& id, std::string_view directory) {
  Sha256 hash;
  hash.Update(AsText(id.bytes));
  hash.Update(directory);
  return hash.Finish();
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

absl::StatusOr<PackIndex> Parse(std::string_view bytes, const Digest& pack) {
  ASSIGN_OR_RETURN(const uint64_t length, IndexDirectoryBytes(bytes));
  if (length > bytes.size()) return DataLoss("truncated");
  ASSIGN_OR_RETURN(const IndexDirectory directory,
                   DecodeIndexDirectory(bytes.substr(bytes.size() - length), pack, bytes.size()));
  if (directory.packs.size() != 1 || directory.packs[0].id != pack) {
    return DataLoss("of another pack");
  }
  Decoder in(bytes);
  if (in.Raw(kIndexMagic.size()) != kIndexMagic || in.U32() != kIndexVersion) {
    return DataLoss("wrong magic");
  }
  PackIndex index{pack, directory.packs[0].bytes, {}};
  for (uint32_t b = 0; b < directory.fan_out.size(); ++b) {
    const uint64_t begin = directory.BucketOffset(b);
    ASSIGN_OR_RETURN(const std::vector<PackedChunk> rows,
                     DecodeIndexBucket(bytes.substr(begin, directory.BucketOffset(b + 1) - begin),
                                       directory, b));
    index.chunks.insert(index.chunks.end(), rows.begin(), rows.end());
  }
  return index;
}

}  // namespace

std::string PackHeader() {
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(kPackMagic);
  out.U32(kIndexVersion);
  return bytes;
}

std::string EncodePackIndex(PackIndex index) {
  std::sort(index.chunks.begin(), index.chunks.end(),
            [](const PackedChunk& a, const PackedChunk& b) { return a.digest < b.digest; });
  IndexEncoder encoder(index.pack, {{index.pack, index.pack_bytes}}, index.chunks.size());
  encoder.Add(index.chunks);
  return encoder.Finish();
}

absl::StatusOr<PackIndex> DecodePackIndex(std::string_view bytes, const Digest& pack) {
  auto index = Parse(bytes, pack);
  if (!index.ok()) return Annotate(index.status(), PackIndexName(pack));
  return index;
}

uint32_t IndexDirectory::BucketOf(const Digest& digest) const { return FirstBits(digest, bits); }

uint64_t IndexDirectory::BucketOffset(uint32_t bucket) const {
  const uint64_t rows_before = bucket == 0 ? 0 : fan_out[bucket - 1];
  return kIndexHeaderBytes + rows_before * kRowBytes + uint64_t{bucket} * kChecksumBytes;
}

Digest MergedIndexId(std::span<const IndexedPack> packs) {
  Sha256 hash;
  for (const IndexedPack& pack : packs) hash.Update(AsText(pack.id.bytes));
  return hash.Finish();
}

absl::StatusOr<uint64_t> IndexDirectoryBytes(std::string_view end) {
  if (end.size() < kIndexTailBytes) return DataLoss("truncated");
  const uint64_t length = Decoder(end.substr(end.size() - kIndexTailBytes)).U32();
  if (length > kMaxIndexDirectoryBytes) return DataLoss("directory too large");
  return length + kIndexTailBytes;
}

absl::StatusOr<IndexDirectory> DecodeIndexDirectory(std::string_view bytes, const Digest& id,
                                                    uint64_t index_bytes) {
  if (bytes.size() < kIndexDigestBytes + kIndexTailBytes) return DataLoss("truncated");
  bytes.remove_suffix(kIndexTailBytes);
  const std::string_view content = bytes.substr(0, bytes.size() - kIndexDigestBytes);
  if (DirectoryChecksum(id, content) != Decoder(bytes.substr(content.size())).Hash()) {
    return DataLoss("damaged");
  }
  Decoder in(content);
  if (in.Raw(kIndexMagic.size()) != kIndexMagic) return DataLoss("wrong magic");
  if (const uint32_t version = in.U32(); version != kIndexVersion) {
    return DataLoss("unknown version " + std::to_string(version));
  }
  IndexDirectory directory;
  directory.id = id;
  const uint32_t packs = in.U32();
  directory.bits = in.U32();
  if (!in.ok() || directory.bits > kMaxBits ||
      in.remaining() !=
          uint64_t{packs} * (kIndexDigestBytes + 8) + (uint64_t{4} << directory.bits)) {
    return DataLoss("wrong length of the directory");
  }
  for (uint32_t i = 0; i < packs; ++i) {
    IndexedPack& pack = directory.packs.emplace_back();
    pack.id = in.Hash();
    pack.bytes = in.U64();
    if (pack.bytes > kMaxPackBytes) return DataLoss("pack too large");
  }
  uint32_t rows = 0;
  for (uint32_t i = 0; i < uint32_t{1} << directory.bits; ++i) {
    const uint32_t below = in.U32();
    if (below < rows) return DataLoss("wrong fan-out table");
    if (below - rows > kMaxBucketRows) return DataLoss("too many chunks in one bucket");
    rows = below;
    directory.fan_out.push_back(below);
  }
  const bool of_one_pack = packs == 1 && directory.packs[0].id == id;
  if (of_one_pack && rows > kMaxPackChunks) return DataLoss("more chunks than a pack has");
  if (directory.BucketOffset(uint32_t{1} << directory.bits) + bytes.size() + kIndexTailBytes !=
      index_bytes) {
    return DataLoss("wrong number of chunks");
  }
  return directory;
}

absl::StatusOr<std::vector<PackedChunk>> DecodeIndexBucket(std::string_view bytes,
                                                           const IndexDirectory& directory,
                                                           uint32_t bucket) {
  const uint32_t before = bucket == 0 ? 0 : directory.fan_out[bucket - 1];
  const uint64_t count = directory.fan_out[bucket] - before;
  if (bytes.size() != count * kRowBytes + kChecksumBytes) return DataLoss("truncated");
  const std::string_view content = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (BucketChecksum(directory.id, bucket, content) != bytes.substr(content.size())) {
    return DataLoss("damaged");
  }
  Decoder in(content);
  std::vector<PackedChunk> rows(count);
  const PackedChunk* previous = nullptr;
  for (PackedChunk& chunk : rows) {
    chunk.digest = in.Hash();
    chunk.pack = in.U32();
    chunk.offset = in.U64();
    const uint32_t stored = in.U32();
    chunk.stored_bytes = stored & ~kIndexCompressed;
    chunk.compressed = (stored & kIndexCompressed) != 0;
    chunk.size_bytes = in.U32();
    if (directory.BucketOf(chunk.digest) != bucket) return DataLoss("row in the wrong bucket");
    if (previous != nullptr && previous->digest >= chunk.digest) return DataLoss("not sorted");
    if (chunk.pack >= directory.packs.size()) return DataLoss("row of an unknown pack");
    RETURN_IF_ERROR(CheckChunk(chunk, directory.packs[chunk.pack].bytes));
    previous = &chunk;
  }
  return rows;
}

IndexEncoder::IndexEncoder(const Digest& id, std::vector<IndexedPack> packs, uint64_t rows) {
  directory_.id = id;
  directory_.packs = std::move(packs);
  while (directory_.bits < kMaxBits && rows >> directory_.bits > kRowsInBucket) ++directory_.bits;
  Encoder out(&bytes_);
  out.Raw(kIndexMagic);
  out.U32(kIndexVersion);
}

void IndexEncoder::EndBucketsBelow(uint32_t bucket) {
  while (directory_.fan_out.size() < bucket) {
    const auto number = static_cast<uint32_t>(directory_.fan_out.size());
    bytes_ += bucket_;
    bytes_ += BucketChecksum(directory_.id, number, bucket_);
    bucket_.clear();
    directory_.fan_out.push_back(rows_);
  }
}

void IndexEncoder::Add(std::span<const PackedChunk> rows) {
  SLACKER_CHECK(rows_ + rows.size() < kMaxRows, "an index has a limit");
  for (const PackedChunk& chunk : rows) {
    EndBucketsBelow(directory_.BucketOf(chunk.digest));
    if (bucket_.size() >= kMaxBucketRows * kRowBytes) continue;
    Encoder out(&bucket_);
    out.Hash(chunk.digest);
    out.U32(chunk.pack);
    out.U64(chunk.offset);
    out.U32(chunk.stored_bytes | (chunk.compressed ? kIndexCompressed : 0));
    out.U32(chunk.size_bytes);
    ++rows_;
  }
}

std::string IndexEncoder::TakeBytes() { return std::exchange(bytes_, {}); }

std::string IndexEncoder::Finish() {
  EndBucketsBelow(uint32_t{1} << directory_.bits);
  std::string content;
  Encoder out(&content);
  out.Raw(kIndexMagic);
  out.U32(kIndexVersion);
  out.U32(static_cast<uint32_t>(directory_.packs.size()));
  out.U32(directory_.bits);
  for (const IndexedPack& pack : directory_.packs) {
    out.Hash(pack.id);
    out.U64(pack.bytes);
  }
  for (const uint32_t below : directory_.fan_out) out.U32(below);
  const Digest checksum = DirectoryChecksum(directory_.id, content);
  out.Hash(checksum);
  const auto length = static_cast<uint32_t>(content.size());
  out.U32(length);
  return TakeBytes() + content;
}

}  // namespace slacker
