// What FillEngine does with pages that come without the rest of their chunk.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

constexpr uint64_t kPageBytes = PageSums::kPageBytes;
constexpr int kMaxLooks = 8;  // at what others take out of the cache and bring again

bool IsUnderWay(const LayerBlob& blob, uint32_t chunk, const Fill& fill)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(blob.mutex) {
  const auto found = blob.fills.find(chunk);
  return found != blob.fills.end() && found->second.get() == &fill && !fill.settled &&
         !fill.coming.empty();
}

}  // namespace

// A part of a read from the cache; false: it is not there, or not right any more, and then dropped.
bool FillEngine::ReadPart(LayerBlob& blob, uint32_t chunk, ReadOperation& operation) {
  const GracePeriod::Use reading = blob.cache().Reading();
  if (!blob.Covers(chunk, operation.offset(), operation.end() - operation.offset())) return false;
  const ChunkExtent extent = blob.ExtentOf(chunk);
  const uint64_t from = std::max(extent.offset, operation.offset());
  const uint64_t to = std::min(extent.offset + extent.size_bytes, operation.end());
  std::vector<uint32_t> wrong;
  const absl::Status read = blob.ReadChecked(from, to - from, operation.At(from), &wrong);
  if (read.ok() && wrong.empty()) return true;
  // The chunk that comes instead does not cover what is behind it up to the next block.
  std::memset(operation.At(from), 0, to - from);
  DropSpoilt(blob, {chunk}, read);
  return false;
}

void FillEngine::ReadPresent(const std::shared_ptr<LayerBlob>& blob, uint32_t chunk,
                             const std::shared_ptr<ReadOperation>& operation) {
  // Single pages can come, and all of the chunk can leave, between any two looks at it.
  for (int tries = 0; tries < kMaxLooks; ++tries) {
    if (ReadPart(*blob, chunk, *operation)) return operation->PartDone(absl::OkStatus());
    if (Want(blob, chunk, chunk + 1, operation).empty()) return;
  }
  operation->PartDone(DataLoss("the disk fails to read"));
}

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
    bool is_more = false;  // than others bring: who announces the same over and over gets nowhere
    for (uint64_t i = 0; i < pages.count; ++i) {
      is_more = fill->coming.insert(pages.first + i).second || is_more;
    }
    if (!is_more) return {};
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
  const uint32_t chunk = announced.pages.chunk;
  blob->NoteUse(chunk, chunk + 1, UseSeconds());
  {
    MutexLock lock(&blob->mutex);
    if (!IsUnderWay(*blob, chunk, *announced.fill)) return;  // given up, or all of it comes
  }
  // As long as the fill is in the table nobody takes anything of the chunk out of the cache.
  if (caching_) {
    const absl::Status written =
        blob->cache().WritePages(announced.pages.first * kPageBytes, bytes);
    NoteWrite(*blob, written);
    if (written.ok()) {
      if (!blob->ClaimIfWhole(chunk)) RefuseFalsePages(*blob, chunk);
      if (blob->cache().Has(chunk)) {
        local_.Note(blob->layer().chunks[chunk].digest, blob->id(), chunk);
      }
      MutexLock lock(&blob->mutex);
      if (blob->cache().Has(chunk)) blob->faults_in_store.NoteRight(chunk);
      // The chunk itself has come meanwhile, and may have been compared before these pages were there.
      if (!IsUnderWay(*blob, chunk, *announced.fill))
        (void)blob->cache().Drop(blob->ExtentOf(chunk));
    }
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
  const ChunkPages& pages = announced.pages;
  const uint32_t chunk = pages.chunk;
  std::vector<std::shared_ptr<ReadOperation>> waiters;
  {
    MutexLock lock(&blob->mutex);
    Fill& fill = *announced.fill;
    if (!IsUnderWay(*blob, chunk, fill)) return;
    for (uint64_t i = 0; i < pages.count; ++i) fill.coming.erase(pages.first + i);
    if (fill.coming.empty()) {
      waiters.swap(fill.waiters);
      fill.settled = true;  // nobody watches over it any more
      blob->fills.erase(chunk);
    } else {
      const auto left =
          std::partition(fill.waiters.begin(), fill.waiters.end(), [&](const auto& waiter) {
            // Who has all of it, and who is left with nothing that comes, goes.
            return !blob->Covers(chunk, waiter->offset(), waiter->end() - waiter->offset()) &&
                   IsComing(*blob, chunk, fill, *waiter);
          });
      waiters.assign(left, fill.waiters.end());
      fill.waiters.erase(left, fill.waiters.end());
    }
  }
  const GracePeriod::Use reading = blob->cache().Reading();
  for (const auto& waiter : waiters) ReadPresent(blob, chunk, waiter);
}

}  // namespace slacker
