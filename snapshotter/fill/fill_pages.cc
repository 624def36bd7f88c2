// What FillEngine does with pages that come without the rest of their chunk.
#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

constexpr uint64_t kPageBytes = PageSums::kPageBytes;

bool IsUnderWay(const LayerBlob& blob, uint32_t chunk, const Fill& fill)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(blob.mutex) {
  const auto found = blob.fills.find(chunk);
  return found != blob.fills.end() && found->second.get() == &fill && !fill.settled &&
         !fill.coming.empty();
}

// A part of a read from the cache; false: it is not there, or not right any more.
bool ReadPart(LayerBlob& blob, uint32_t chunk, ReadOperation& operation) {
  const GracePeriod::Use reading = blob.cache().Reading();
  if (!blob.Covers(chunk, operation.offset(), operation.end() - operation.offset())) return false;
  const ChunkExtent extent = blob.ExtentOf(chunk);
  const uint64_t from = std::max(extent.offset, operation.offset());
  const uint64_t to = std::min(extent.offset + extent.size_bytes, operation.end());
  std::vector<uint32_t> wrong;
  return blob.ReadChecked(from, to - from, operation.At(from), &wrong).ok() && wrong.empty();
}

}  // namespace

std::optional<FillEngine::AnnouncedPages> FillEngine::AnnouncePages(
    const std::shared_ptr<LayerBlob>& blob, const ChunkPages& pages) {
  AnnouncedPages announced{pages, nullptr};
  {
    MutexLock lock(&blob->mutex);
    if (blob->Covers(pages.chunk, pages.first * kPageBytes, pages.count * kPageBytes)) return {};
    std::shared_ptr<Fill>& fill = blob->fills[pages.chunk];
    const bool is_new = fill == nullptr;
    if (!is_new && fill->coming.empty()) return {};  // all of it comes, or it is on its way out
    if (is_new) fill = std::make_shared<Fill>();
    for (uint64_t i = 0; i < pages.count; ++i) fill->coming.insert(pages.first + i);
    announced.fill = fill;
    if (!is_new) return announced;
  }
  MutexLock lock(&mutex_);
  // Who waits for it waits no longer than for anything else.
  watched_.push_back(
      {clock_->Monotonic() + options_.stall_timeout, blob, pages.chunk, {announced.fill}});
  changed_.Signal();
  return announced;
}

void FillEngine::BringPages(const std::shared_ptr<LayerBlob>& blob, const AnnouncedPages& announced,
                            std::string_view bytes) {
  const auto& [chunk, first, count] = announced.pages;
  blob->NoteUse(chunk, chunk + 1, UseSeconds());
  {
    MutexLock lock(&blob->mutex);
    if (!IsUnderWay(*blob, chunk, *announced.fill)) return;  // given up, or all of it comes
  }
  // As long as the fill is in the table nobody takes anything of the chunk out of the cache.
  if (caching_ && blob->cache().WritePages(first * kPageBytes, bytes).ok()) {
    blob->ClaimIfWhole(chunk);
  }
  EndPages(blob, announced);
}

void FillEngine::WithdrawPages(const std::shared_ptr<LayerBlob>& blob,
                               const AnnouncedPages& announced) {
  EndPages(blob, announced);
}

// These pages are not on their way any more. Who waits for nothing else is answered from the cache;
// when no others come, the chunk is fetched for those who are left.
void FillEngine::EndPages(const std::shared_ptr<LayerBlob>& blob, const AnnouncedPages& announced) {
  const auto& [chunk, first, count] = announced.pages;
  std::vector<std::shared_ptr<ReadOperation>> waiters;
  {
    MutexLock lock(&blob->mutex);
    Fill& fill = *announced.fill;
    if (!IsUnderWay(*blob, chunk, fill)) return;
    for (uint64_t i = 0; i < count; ++i) fill.coming.erase(first + i);
    if (fill.coming.empty()) {
      waiters.swap(fill.waiters);
      fill.settled = true;  // nobody watches over it any more
      blob->fills.erase(chunk);
    } else {
      const auto left =
          std::partition(fill.waiters.begin(), fill.waiters.end(), [&](const auto& waiter) {
            return !blob->Covers(chunk, waiter->offset(), waiter->end() - waiter->offset());
          });
      waiters.assign(left, fill.waiters.end());
      fill.waiters.erase(left, fill.waiters.end());
    }
  }
  for (const auto& waiter : waiters) {
    if (ReadPart(*blob, chunk, *waiter)) {
      waiter->PartDone(absl::OkStatus());
      continue;
    }
    for (const uint32_t present : Want(blob, chunk, chunk + 1, waiter)) {
      const bool read = ReadPart(*blob, present, *waiter);
      waiter->PartDone(read ? absl::OkStatus() : DataLoss("the disk fails to read"));
    }
  }
}

}  // namespace slacker
