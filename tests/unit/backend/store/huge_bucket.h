// Indexes that nobody writes: with more rows than one read can have.
#pragma once

#include <cstdint>
#include <string>

#include "backend/base/codec.h"
#include "backend/store/pack_index.h"

namespace slacker::testing {

// `sound`, the bytes of the index `id` with 2^bits buckets, as if each had `rows` rows (all zeros).
inline std::string WithRows(const std::string& sound, const Digest& id, uint32_t rows,
                            uint32_t bits = 0) {
  constexpr size_t kHeaderBytes = 8;
  constexpr size_t kRowBytes = 52;
  constexpr size_t kBucketChecksumBytes = 16;
  const size_t buckets = size_t{1} << bits;
  const uint64_t with_tail = IndexDirectoryBytes(sound).value();
  std::string content = sound.substr(sound.size() - with_tail);
  content.resize(content.size() - kIndexTailBytes - sizeof(Digest::bytes) - 4 * buckets);
  Encoder out(&content);
  for (uint32_t bucket = 1; bucket <= buckets; ++bucket) out.U32(bucket * rows);  // fan-out
  Sha256 checksum;
  checksum.Update(AsText(id.bytes));
  checksum.Update(content);
  out.Hash(checksum.Finish());
  const auto length = static_cast<uint32_t>(content.size());
  out.U32(length);
  return sound.substr(0, kHeaderBytes) +
         std::string(buckets * (rows * kRowBytes + kBucketChecksumBytes), '\0') + content;
}

// The length of such a bucket is more than a backend reads at once.
inline constexpr uint32_t kUnreadableRows = 1'300'000;

}  // namespace slacker::testing
