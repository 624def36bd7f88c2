// What FillEngine does with time and failure: answer, try again, look elsewhere, give up.
#include <algorithm>
#include <iterator>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

// Waiting is cut into slices, so that a clock that is not the system's is looked at too.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(20);

// Compaction may have moved it, or the table was wrong: what the store says now decides.
bool MayBeElsewhere(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

bool IsSettled(const std::shared_ptr<Fill>& fill) { return fill->settled; }

}  // namespace

bool MayAnswerLater(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsInternal(status) || absl::IsResourceExhausted(status) ||
         absl::IsPermissionDenied(status);
}

absl::Status Abandoned() { return Cancelled("its images were removed"); }

bool SettleFill(LayerBlob& blob, uint32_t chunk,
                const absl::StatusOr<std::shared_ptr<const std::string>>& bytes,
                const Fill* expected, std::chrono::steady_clock::time_point now) {
  std::vector<std::shared_ptr<ReadOperation>> waiters;
  {
    MutexLock lock(&blob.mutex);
    const auto found = blob.fills.find(chunk);
    if (found == blob.fills.end() || found->second->settled) return false;
    if (expected != nullptr && found->second.get() != expected) return false;
    if (found->second->evicting) return false;          // an answer to an earlier question
    if (found->second->not_before > now) return false;  // it is watched anew
    Fill& fill = *found->second;
    waiters = std::move(fill.waiters);
    fill.settled = true;
    if (bytes.ok()) {
      fill.bytes = *bytes;
      blob.damaged_chunks.erase(chunk);
    } else {
      blob.fills.erase(found);
    }
  }
  for (const auto& waiter : waiters) {
    if (bytes.ok()) waiter->Take(blob.layer().chunks[chunk].blob_offset, **bytes);
    waiter->PartDone(bytes.status());
  }
  return true;
}

void ForgetFill(LayerBlob& blob, uint32_t chunk) {
  MutexLock lock(&blob.mutex);
  blob.fills.erase(chunk);
}

void FillEngine::Failed(const Run& run, std::vector<std::pair<uint32_t, absl::Status>> failed) {
  std::sort(failed.begin(), failed.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Run later = run.Empty();
  ++later.attempt;
  Run elsewhere = run.Empty();
  elsewhere.relocated = true;
  const auto add = [this](Run& group, uint32_t chunk) {
    if (!group.Accepts(chunk)) TryAgain(std::exchange(group, group.Empty()));
    group.Append(chunk);
  };
  for (const auto& [chunk, status] : failed) {
    if (reader_ != nullptr && MayAnswerLater(status)) {
      ++counters_.retries;
      add(later, chunk);
    } else if (reader_ != nullptr && MayBeElsewhere(status) && !run.relocated) {
      add(elsewhere, chunk);
    } else {
      GiveUp(run, chunk, status);
    }
  }
  if (later.count > 0) TryAgain(std::move(later));
  if (elsewhere.count > 0) TryAgain(std::move(elsewhere));
}

std::chrono::nanoseconds FillEngine::PauseAfter(int attempts) const {
  if (attempts == 0) return std::chrono::nanoseconds::zero();
  constexpr int kMaxDoublings = 16;
  return std::min(options_.retry_max,
                  options_.retry_min * (1 << std::min(attempts - 1, kMaxDoublings)));
}

void FillEngine::TryAgain(Run run) {
  const std::chrono::nanoseconds pause = PauseAfter(run.attempt);
  MutexLock lock(&mutex_);
  // Stop or Abandon answers its waiters.
  if (stopping_ || run.blob->cache().discarded()) return;
  retries_.emplace_back(clock_->Monotonic() + pause, std::make_shared<Run>(std::move(run)));
  changed_.Signal();
}

// Whoever adds something looks at `discarded` under the same lock, so nothing is added behind this.
void FillEngine::Abandon(const std::shared_ptr<LayerBlob>& blob) {
  std::vector<Watched> open;
  {
    MutexLock lock(&mutex_);
    std::erase_if(queue_, [&](const auto& run) { return run->blob == blob; });
    std::erase_if(retries_, [&](const auto& retry) { return retry.second->blob == blob; });
    const auto theirs =
        std::stable_partition(watched_.begin(), watched_.end(),
                              [&](const Watched& watched) { return watched.blob != blob; });
    std::move(theirs, watched_.end(), std::back_inserter(open));
    watched_.erase(theirs, watched_.end());
    Pump();  // the first of the queue may have kept others waiting
  }
  for (const Watched& watched : open) {
    for (size_t i = 0; i < watched.fills.size(); ++i) {
      (void)SettleFill(*blob, watched.first + static_cast<uint32_t>(i), Abandoned(),
                       watched.fills[i].get());
    }
  }
}

void FillEngine::GiveUp(const Run& run, uint32_t chunk, const absl::Status& status) {
  LayerBlob& blob = *run.blob;
  const bool damaged = MayBeElsewhere(status);
  const absl::Status told = damaged ? DataLoss(Message(status)) : status;
  if (!SettleFill(blob, chunk, told) || !damaged) return;
  ++counters_.chunks_damaged;
  {
    // A program that reads it over and over is to fill neither disk nor eyes.
    MutexLock lock(&blob.mutex);
    if (!blob.damaged_chunks.insert(chunk).second) return;
  }
  Log(LogLevel::kWarning, "a chunk is missing or damaged in the store; reads of it fail, ignoring",
      {{"images", options_.name_images(blob.id())},
       {"record", blob.record().ToString()},
       {"layer", blob.layer().diff_id.ToString()},
       {"chunk", blob.layer().chunks[chunk].digest.ToString()},
       {"index", std::to_string(chunk)},
       {"blob", std::to_string(blob.id())},
       {"error", status.ToString()}});
}

std::vector<FillEngine::Watched> FillEngine::TakeExpired() {
  std::vector<Watched> expired;
  const TimePoint now = clock_->Monotonic();
  while (!watched_.empty()) {
    Watched& oldest = watched_.front();
    const bool open = !std::all_of(oldest.fills.begin(), oldest.fills.end(), IsSettled);
    if (open && oldest.deadline > now) break;
    if (open) expired.push_back(std::move(oldest));
    watched_.pop_front();
  }
  return expired;
}

void FillEngine::RequeueDue() {
  const TimePoint now = clock_->Monotonic();
  const auto due = std::stable_partition(retries_.begin(), retries_.end(),
                                         [now](const auto& retry) { return retry.first > now; });
  for (auto retry = due; retry != retries_.end(); ++retry) {
    queue_.push_back(std::move(retry->second));
  }
  retries_.erase(due, retries_.end());
  Pump();
}

void FillEngine::Watch() {
  for (;;) {
    std::vector<Watched> expired;
    std::vector<RecordFetch> expired_records;
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
      expired = TakeExpired();
      expired_records = TakeExpiredRecords();
      RequeueDue();
      TryDueRecords();
      if (expired.empty() && expired_records.empty()) {
        if (retries_.empty() && watched_.empty() && record_fetches_.empty()) {
          changed_.Wait(&mutex_);
        } else {
          (void)changed_.WaitFor(&mutex_, kSlice);
        }
        continue;
      }
    }
    const absl::Status late = Unavailable("the store did not answer in time");
    uint64_t given_up = expired_records.size();
    for (const Watched& watched : expired) {
      for (size_t i = 0; i < watched.fills.size(); ++i) {
        const uint32_t chunk = watched.first + static_cast<uint32_t>(i);
        if (SettleFill(*watched.blob, chunk, late, watched.fills[i].get(), clock_->Monotonic())) {
          ++given_up;
        }
      }
    }
    counters_.stalled += given_up;
    // A store that hangs says nothing by itself.
    if (given_up > 0) outage_.NoteGivenUp(late, given_up);
    for (const RecordFetch& fetch : expired_records) {
      for (const auto& done : fetch.waiters) done(late);
    }
  }
}

}  // namespace slacker
