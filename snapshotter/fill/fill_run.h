// Inside of FillEngine: what its source files share.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "snapshotter/fill/fill_engine.h"

namespace slacker {

inline constexpr uint64_t kMaxRunBytes = 4ULL << 20;

inline uint32_t ChunkSize(const LayerBlob& blob, uint32_t chunk) {
  return blob.layer().chunks[chunk].size_bytes;
}

// What is told to who wants something of a blob that was removed.
absl::Status Abandoned();

// Answers the waiters of a chunk with its bytes or an error; false when that was done before.
// `expected`: only if this fill is the one under way. `now`: only if it may be given up by then.
// After bytes the fill stays in the table until ForgetFill, so that readers who come meanwhile find
// them.
bool SettleFill(
    LayerBlob& blob, uint32_t chunk,
    const absl::StatusOr<std::shared_ptr<const std::string>>& bytes, const Fill* expected = nullptr,
    std::chrono::steady_clock::time_point now = std::chrono::steady_clock::time_point::max());
// The same for a chunk that the store does not have as it should be: *begins, whether it is the first
// such one of its layer.
bool SettleDamaged(LayerBlob& blob, uint32_t chunk, const absl::Status& damage,
                   std::chrono::steady_clock::time_point now, bool* begins);
void ForgetFill(LayerBlob& blob, uint32_t chunk);

// Whether the pages that it needs are there or on their way.
inline bool IsComing(const LayerBlob& blob, uint32_t chunk, const Fill& fill,
                     const ReadOperation& operation) {
  if (!operation.has_reader()) return false;
  const ChunkExtent extent = blob.ExtentOf(chunk);
  const uint64_t from = std::max(extent.offset, operation.offset());
  const uint64_t to = std::min(extent.offset + extent.size_bytes, operation.end());
  for (uint64_t page = from / PageSums::kPageBytes; page * PageSums::kPageBytes < to; ++page) {
    if (!fill.coming.contains(page) &&
        blob.cache().SumOf(page * PageSums::kPageBytes) == PageSums::kUnknown) {
      return false;
    }
  }
  return true;
}

struct FillEngine::Run {
  std::shared_ptr<LayerBlob> blob;
  uint32_t first = 0;
  uint32_t count = 0;
  uint64_t bytes = 0;  // of its chunks; in flight from its turn on
  int attempt = 0;
  bool relocated = false;                  // locations were read again for it
  std::shared_ptr<const Locations> stale;  // the ones that were wrong

  void Append(uint32_t chunk) {
    if (count == 0) first = chunk;
    ++count;
    bytes += ChunkSize(*blob, chunk);
  }
  bool Accepts(uint32_t chunk) const {
    return count == 0 ||
           (chunk == first + count && bytes + ChunkSize(*blob, chunk) <= kMaxRunBytes);
  }
  // A run like this one, without chunks.
  Run Empty() const { return {blob, 0, 0, 0, attempt, relocated, stale}; }
};

struct FillEngine::Attempt {
  Run run;
  std::shared_ptr<const Locations> locations;
  StoreOutage::Question question;
  Mutex mutex;
  uint32_t open ABSL_GUARDED_BY(mutex) = 0;
  std::vector<std::pair<uint32_t, absl::Status>> failed ABSL_GUARDED_BY(mutex);
};

}  // namespace slacker
