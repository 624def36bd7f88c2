// What is brought into caches without a reader: chunks, and what somebody has cut off a file.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/fill/blob_filler.h"

namespace slacker {
namespace {

constexpr std::chrono::milliseconds kSlice{20};

// The answer to one fetch. Shared with the callback, which may come when nobody waits any more.
struct Answer {
  Mutex mutex;
  CondVar changed;
  bool done ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);
  std::string bytes ABSL_GUARDED_BY(mutex);  // of a read
};

absl::Status Await(Answer& answer, const std::function<bool()>& cancelled) {
  MutexLock lock(&answer.mutex);
  while (!answer.done) {
    if (cancelled()) return Cancelled("nobody waits for it any more");
    (void)answer.changed.WaitFor(&answer.mutex, kSlice);
  }
  return answer.status;
}

}  // namespace

void BlobFiller::FillAsync(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last,
                           std::function<void(const absl::Status&)> done) {
  // Nobody reads: an operation of no bytes. Shared: between the chunks on their way.
  auto operation = std::make_shared<ReadOperation>(
      0, 0, size_t{last} - first + 1,
      [done = std::move(done)](const absl::StatusOr<std::string>& bytes) { done(bytes.status()); });
  const size_t present = engine_->Want(blob, first, last, operation).size();
  operation->PartDone(absl::OkStatus(), present + 1);
}

absl::Status BlobFiller::Fill(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last,
                              const std::function<bool()>& cancelled) {
  // Shared: see Answer.
  auto answer = std::make_shared<Answer>();
  FillAsync(blob, first, last, [answer](const absl::Status& status) {
    MutexLock lock(&answer->mutex);
    answer->done = true;
    answer->status = status;
    answer->changed.SignalAll();
  });
  return Await(*answer, cancelled);
}

bool BlobFiller::IsCut(const BlobRow& row) {
  if (const auto blob = FindLoaded(row.id); blob != nullptr && blob->cache().useless()) return true;
  struct stat info {};
  return stat((StemOf(row.id) + ".data").c_str(), &info) == 0 &&
         static_cast<uint64_t>(info.st_size) < row.size_bytes;
}

absl::Status BlobFiller::Regrow(const BlobRow& row, const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(const std::shared_ptr<LayerBlob> blob, Load(row.id));
  if (!IsCut(row)) return absl::OkStatus();  // it was only being made
  TellCut(row.id, row.size_bytes);
  const auto read = [&](uint64_t offset, uint32_t size) -> absl::StatusOr<std::string> {
    // Shared: see Answer.
    auto answer = std::make_shared<Answer>();
    // Not as somebody's read, which would be traced.
    Read(blob, offset, size, [answer](absl::StatusOr<std::string> bytes) {
      MutexLock lock(&answer->mutex);
      answer->done = true;
      answer->status = bytes.status();
      if (bytes.ok()) answer->bytes = *std::move(bytes);
      answer->changed.SignalAll();
    });
    RETURN_IF_ERROR(Await(*answer, cancelled));
    MutexLock lock(&answer->mutex);
    return std::move(answer->bytes);
  };
  RETURN_IF_ERROR(blob->cache().Regrow(read));
  Cut cut;
  {
    MutexLock lock(&mutex_);
    const auto found = cut_.find(row.id);
    if (found == cut_.end()) return absl::OkStatus();
    cut = found->second;
    cut_.erase(found);
  }
  Log(LogLevel::kInfo, "a blob cache that was cut is whole again",
      {{"blob", std::to_string(row.id)},
       {"seconds",
        std::to_string((options_.clock->Monotonic() - cut.since) / std::chrono::seconds(1))},
       {"bytes", std::to_string(cut.missing_bytes)}});
  return absl::OkStatus();
}

void BlobFiller::TellCut(uint64_t blob_id, uint64_t size_bytes) {
  struct stat info {};
  if (stat((StemOf(blob_id) + ".data").c_str(), &info) != 0) return;  // it is gone as a whole
  const uint64_t missing = size_bytes - std::min(size_bytes, static_cast<uint64_t>(info.st_size));
  if (missing == 0) return;  // whole again
  {
    MutexLock lock(&mutex_);
    if (!cut_.try_emplace(blob_id, Cut{options_.clock->Monotonic(), missing}).second) return;
  }
  ++caches_cut_;
  Log(LogLevel::kWarning,
      "a blob cache was cut by somebody; what is missing is not read until it is made whole",
      {{"images", ImagesForLog(blob_id)},
       {"blob", std::to_string(blob_id)},
       {"missing_bytes", std::to_string(missing)}});
}

void BlobFiller::LookForFile(LayerBlob& blob) {
  if (blob.cache().discarded()) return;
  if (blob.cache().IsCut()) TellCut(blob.id(), blob.size_bytes());
  // Whoever removes it discards it first.
  if (!blob.cache().IsDeleted() || blob.cache().discarded()) return;
  {
    MutexLock lock(&mutex_);
    if (!told_deleted_.insert(blob.id()).second) return;
  }
  ++caches_deleted_;
  Log(LogLevel::kWarning,
      "a blob cache was deleted by somebody; who has it reads on, the next start makes it anew",
      {{"images", ImagesForLog(blob.id())}, {"blob", std::to_string(blob.id())}});
}

}  // namespace slacker
