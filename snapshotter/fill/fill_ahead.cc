// What FillEngine does with chunks that somebody brings unasked.
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxBroughtUnwrittenBytes = 16ULL << 20;

}  // namespace

FillEngine::Announcement FillEngine::Announce(const std::shared_ptr<LayerBlob>& blob,
                                              uint32_t first, uint32_t count) {
  Announcement announced;
  {
    MutexLock lock(&blob->mutex);
    for (uint32_t chunk = first; chunk < first + count; ++chunk) {
      if (blob->cache().Has(chunk)) continue;
      std::shared_ptr<Fill>& fill = blob->fills[chunk];
      if (fill != nullptr) continue;
      fill = std::make_shared<Fill>();
      announced.push_back({chunk, fill});
    }
  }
  MutexLock lock(&mutex_);
  for (const Announced& one : announced) {
    // Who waits for it waits no longer than for anything else.
    if (watched_.empty() || watched_.back().blob != blob ||
        watched_.back().first + watched_.back().fills.size() != one.chunk) {
      watched_.push_back({clock_->Monotonic() + options_.stall_timeout, blob, one.chunk, {}});
    }
    watched_.back().fills.push_back(one.fill);
  }
  changed_.Signal();
  return announced;
}

void FillEngine::Bring(const std::shared_ptr<LayerBlob>& blob, const Announced& announced,
                       std::string bytes) {
  const uint64_t size = bytes.size();
  blob->NoteUse(announced.chunk, announced.chunk + 1, UseSeconds());
  auto content = std::make_shared<const std::string>(std::move(bytes));
  if (!SettleFill(*blob, announced.chunk, content)) return;  // given up meanwhile
  {
    // Only now: what is merely announced takes no memory, and must not hold up who reads.
    MutexLock lock(&mutex_);
    bytes_in_flight_ += size;
    brought_unwritten_bytes_ += size;
  }
  WriteBehind(blob, announced.chunk, std::move(content), true);
  MutexLock lock(&mutex_);
  while (brought_unwritten_bytes_ > kMaxBroughtUnwrittenBytes) brought_written_.Wait(&mutex_);
}

void FillEngine::Withdraw(const std::shared_ptr<LayerBlob>& blob, const Announcement& announced) {
  std::vector<std::shared_ptr<Run>> runs;
  {
    MutexLock lock(&blob->mutex);
    for (const Announced& one : announced) {
      const auto found = blob->fills.find(one.chunk);
      if (found == blob->fills.end() || found->second != one.fill || one.fill->settled) continue;
      if (one.fill->waiters.empty()) {
        one.fill->settled = true;  // nobody watches over it any more
        blob->fills.erase(found);
        continue;
      }
      if (runs.empty() || !runs.back()->Accepts(one.chunk)) {
        runs.push_back(std::make_shared<Run>());
        runs.back()->blob = blob;
      }
      runs.back()->Append(one.chunk);
    }
  }
  MutexLock lock(&mutex_);
  for (auto& run : runs) queue_.push_back(std::move(run));
  Pump();
}

}  // namespace slacker
