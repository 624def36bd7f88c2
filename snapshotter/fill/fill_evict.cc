// How FillEngine takes chunks out of a cache.
#include <algorithm>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {

uint32_t FillEngine::UseSeconds() const {
  const auto since = clock_->Monotonic().time_since_epoch();
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count() + 1);
}

absl::StatusOr<FillEngine::Evicted> FillEngine::Evict(const std::shared_ptr<LayerBlob>& blob,
                                                      const std::vector<uint32_t>& chunks) {
  std::vector<std::pair<uint32_t, std::shared_ptr<Fill>>> leaving;
  std::vector<ChunkExtent> extents;
  Evicted evicted;
  {
    MutexLock lock(&blob->mutex);
    for (const uint32_t chunk : chunks) {
      const uint64_t bytes = blob->CachedBytes(chunk);
      if (bytes == 0 || blob->fills.contains(chunk)) continue;
      auto fill = std::make_shared<Fill>();
      fill->evicting = true;
      blob->fills.emplace(chunk, fill);
      leaving.emplace_back(chunk, std::move(fill));
      extents.push_back(blob->ExtentOf(chunk));
      ++evicted.chunks;
      evicted.bytes += bytes;
    }
  }
  if (leaving.empty()) return evicted;
  const absl::Status status = blob->cache().Evict(extents);
  std::vector<std::pair<std::shared_ptr<Run>, FillList>> runs;  // of those that were asked for
  {
    MutexLock lock(&blob->mutex);
    for (auto& [chunk, fill] : leaving) {
      if (fill->waiters.empty()) {
        fill->settled = true;  // nobody watches over it any more
        blob->fills.erase(chunk);
        continue;
      }
      fill->evicting = false;
      if (runs.empty() || !runs.back().first->Accepts(chunk)) {
        runs.emplace_back(std::make_shared<Run>(), FillList());
        runs.back().first->blob = blob;
      }
      runs.back().first->Append(chunk);
      runs.back().second.push_back(std::move(fill));
    }
  }
  for (auto& [run, fills] : runs) Submit(std::move(run), std::move(fills));
  RETURN_IF_ERROR(status);
  return evicted;
}

}  // namespace slacker
