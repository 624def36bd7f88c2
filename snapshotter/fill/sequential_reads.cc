#include "snapshotter/fill/sequential_reads.h"

#include <algorithm>

namespace slacker {

std::pair<uint32_t, uint32_t> SequentialReads::OnMiss(const TableVector<Chunk>& chunks,
                                                      uint32_t first, uint32_t last) {
  MutexLock lock(&mutex_);
  for (Stream& stream : streams_) {
    if (stream.window == 0 || first < stream.begin || first > stream.next) continue;
    if (last <= stream.next) return {last, last};  // that is on its way
    // The first chunk of a file is where another one ended.
    if (chunks[first].index == 0) break;
    stream.window *= 2;
    uint64_t bytes = 0;
    uint32_t end = last;
    while (end < chunks.size() && end - last < stream.window && chunks[end].index > 0 &&
           (bytes += chunks[end].size_bytes) <= kMaxAheadBytes) {
      ++end;
    }
    stream.window = std::max(end - last, 1U);
    stream.begin = first;
    stream.next = end;
    return {last, end};
  }
  streams_[oldest_] = {first, last, 1};
  oldest_ = (oldest_ + 1) % kStreams;
  return {last, last};
}

}  // namespace slacker
