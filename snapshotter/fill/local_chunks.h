// Where on this node a chunk may be: in the caches of which layers, by its digest. Layers share files
// without being one layer (two builds of one image), and then need not fetch them twice.
//
// A row is a hint: 32 bits of the digest, blob and index. It may be of another chunk, or one that has left
// its cache; whoever follows it asks the cache, and compares the digest of what it gives. So rows are never
// taken back: newer ones take the place of older ones.
//
// Memory: 12 bytes a row, at most kMaxRows of them, which is 12 MiB: chunks of some 20 to 60 GiB.
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/base/digest.h"
#include "backend/base/mutex.h"

namespace slacker {

class LocalChunks {
 public:
  static constexpr size_t kMaxRows = size_t{1} << 20;
  // Of one digest no more are kept.
  static constexpr size_t kMaxPlaces = 2;

  struct Place {
    uint64_t blob = 0;
    uint32_t chunk = 0;
  };

  // `max_rows`: a power of two, at least 8.
  explicit LocalChunks(size_t max_rows = kMaxRows);

  // The chunk has come into the cache of this blob.
  void Note(const Digest& digest, uint64_t blob, uint32_t chunk);
  // The newest first.
  std::vector<Place> Find(const Digest& digest) const;
  size_t rows() const;

 private:
  static constexpr size_t kWays = 8;
  struct Row {
    uint32_t tag = 0;
    uint32_t blob = 0;  // 0 = no row
    uint32_t chunk = 0;
  };
  // The newest first, empty ones last.
  using Set = std::array<Row, kWays>;

  void Insert(const Row& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Grow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_sets_;
  mutable Mutex mutex_;
  std::vector<Set> sets_ ABSL_GUARDED_BY(mutex_);
  size_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker
