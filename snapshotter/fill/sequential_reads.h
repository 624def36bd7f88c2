// What who reads a file in order is going to want next: found out by what is missing.
//
// A reader that misses the chunk behind the one that it missed before, in the same file, is fetched two
// chunks ahead, at its next miss four, and so on up to kMaxAheadBytes: over a link with latency it waits
// once for each of these instead of for each chunk. One that jumps is fetched nothing. Several may read
// one blob at once; of more than kStreams the oldest are forgotten.
//
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/record/layer.h"

namespace slacker {

class SequentialReads {
 public:
  static constexpr uint64_t kMaxAheadBytes = 1 << 20;
  static constexpr size_t kStreams = 8;

  // Somebody reads the chunks [first, last) of a blob, which were not there: the chunks [first, second)
  // behind them that he should be fetched, of the same file; none if they are equal.
  std::pair<uint32_t, uint32_t> OnMiss(const TableVector<Chunk>& chunks, uint32_t first,
                                       uint32_t last);

 private:
  struct Stream {
    uint32_t begin = 0, next = 0;  // what was asked for last, and what comes behind it
    uint32_t window = 0;           // chunks; 0: there is none
  };

  Mutex mutex_;
  std::array<Stream, kStreams> streams_ ABSL_GUARDED_BY(mutex_);
  size_t oldest_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker
