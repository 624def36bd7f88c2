// Packs and their indexes as bytes (docs/formats.md, "Packs"). A pack is a small header and then
// stored chunks, one after the other; only an index tells where they are.
//
// One format serves both kinds of index: packs/<pack>.idx, which a publisher writes beside its pack,
// and indexes/<id>, which stands for the indexes of many packs. Rows are sorted by digest and cut
// into buckets by the first bits of the digest; each bucket has a checksum of its own, so that one
// read answers a lookup in an index that nobody ever reads as a whole. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"

namespace slacker {

inline constexpr uint64_t kMaxPackBytes = uint64_t{1} << 40;
inline constexpr uint64_t kMaxPackIndexBytes = uint64_t{256} << 20;  // of one pack
inline constexpr uint64_t kMaxIndexDirectoryBytes = uint64_t{128} << 20;
// A pack of tiny chunks is full before it has the bytes: its index must stay small.
inline constexpr uint64_t kMaxPackChunks = 128 << 10;
// A bucket is read as a whole. The index of one pack fits into one, so that no content of an image, whatever its
// digests begin with, makes an index that is refused; in others a bucket has some hundred rows at most.
inline constexpr uint64_t kMaxBucketRows = kMaxPackChunks;

struct PackedChunk {
  Digest digest;  // of the uncompressed bytes
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  uint32_t size_bytes = 0;  // uncompressed
  bool compressed = false;
  uint32_t pack = 0;  // index into the packs of the index
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

// DATA_LOSS unless it is an undamaged index of this pack alone, in which every chunk lies within
// the pack and has a possible size.
absl::StatusOr<PackIndex> DecodePackIndex(std::string_view bytes, const Digest& pack);

struct IndexedPack {
  Digest id;
  uint64_t bytes = 0;
};

// The last part of an index: what is in it, and where.
struct IndexDirectory {
  Digest id;  // of a pack, or MergedIndexId
  std::vector<IndexedPack> packs;
  uint32_t bits = 0;              // there are 2^bits buckets
  std::vector<uint32_t> fan_out;  // entry b: rows in the buckets 0 to b

  uint64_t rows() const { return fan_out.back(); }
  uint32_t BucketOf(const Digest& digest) const;
  // Where a bucket with its checksum begins; of the number after the last one, where they end.
  uint64_t BucketOffset(uint32_t bucket) const;
};

// The name of an index that stands for those of several packs. REQUIRES: sorted by ID.
Digest MergedIndexId(std::span<const IndexedPack> packs);

// Bytes at an index's end that tell how long its directory is.
inline constexpr uint64_t kIndexTailBytes = 4;
// Length of the directory with its tail; from the last bytes of an index. DATA_LOSS when it cannot
// be (it is at most kMaxIndexDirectoryBytes).
absl::StatusOr<uint64_t> IndexDirectoryBytes(std::string_view end);
// `bytes`: the directory with its tail, of the index `id` that is `index_bytes` long. DATA_LOSS also
// when a bucket, or the index of one pack, has more rows than there may be.
absl::StatusOr<IndexDirectory> DecodeIndexDirectory(std::string_view bytes, const Digest& id,
                                                    uint64_t index_bytes);
// `bytes`: one bucket with its checksum.
absl::StatusOr<std::vector<PackedChunk>> DecodeIndexBucket(std::string_view bytes,
                                                           const IndexDirectory& directory,
                                                           uint32_t bucket);

// Writes an index piece by piece. Thread-compatible.
class IndexEncoder {
 public:
  // `rows`: about how many there will be.
  IndexEncoder(const Digest& id, std::vector<IndexedPack> packs, uint64_t rows);

  // REQUIRES: sorted; greater than all before; of whole buckets of `bits()`, each digest once. What a bucket
  // has no room for is left out: who has that chunk stores it again.
  void Add(std::span<const PackedChunk> rows);
  // What is new since the last call.
  std::string TakeBytes();
  // The rest. REQUIRES: called once, last.
  std::string Finish();
  uint32_t bits() const { return directory_.bits; }

 private:
  void EndBucketsBelow(uint32_t bucket);

  IndexDirectory directory_;
  std::string bytes_;
  std::string bucket_;  // the rows of the bucket that is being filled
  uint32_t rows_ = 0;
};

}  // namespace slacker
