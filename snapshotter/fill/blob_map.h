// What of a blob cache is on the disk, as the file beside it says (`<blob>.map`), little-endian:
//
//   claims   "SLKMAP3\0"; the record's digest; u64 size of the blob; u32 number of chunks;
//            u8 1 = verified; one bit a chunk, lowest bit first; SHA-256 of all before
//   sums     one bit a page of 4096 bytes: its sum follows; u32 the sum of each page that has one, in
//            the order of the pages; SHA-256 of all before, claims included
//
// No bit of a chunk stands for one that was not durable before the map was written. *Verified* says
// that each chunk was read back and compared since, with zeros behind it up to the next block, and
// none was dropped since: with a bit missing it says nothing. So with all bits set too the data file
// may be read without us.
//
// A map of the version before, SLKMAP2, is claims and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"

namespace slacker {

struct BlobMap {
  Digest record;
  uint64_t size_bytes = 0;  // a multiple of 4096
  uint32_t chunks = 0;
  bool verified = false;
  std::vector<uint64_t> words;  // bit c % 64 of word c / 64
  std::vector<uint32_t> sums;   // one a page; PageSums::kUnknown = none

  bool Has(uint32_t chunk) const { return (words[chunk / 64] >> (chunk % 64) & 1) != 0; }
  bool IsFull() const;
};

std::string EncodeBlobMap(const BlobMap& map);
// NOT_FOUND: no such file. DATA_LOSS: it is not the map of a blob of `size_bytes`.
absl::StatusOr<BlobMap> ReadBlobMap(const std::string& path, uint64_t size_bytes);
// Only the claims, which are a thirtieth of it; without `sums`.
absl::StatusOr<BlobMap> ReadBlobClaims(const std::string& path);

}  // namespace slacker
