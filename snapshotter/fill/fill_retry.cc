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

absl::Status Abandoned() { return Cancelled("its images were removed"); }

namespace {

using TimePoint = std::chrono::steady_clock::time_point;
using Waiters = std::vector<std::shared_ptr<ReadOperation>>;

// Null: nobody is to be answered.
Fill* FindToSettle(LayerBlob& blob, uint32_t chunk, const Fill* expected, TimePoint now)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(blob.mutex) {
  const auto found = blob.fills.find(chunk);
  if (found == blob.fills.end() || found->second->settled) return nullptr;
  if (expected != nullptr && found->second.get() != expected) return nullptr;
  if (found->second->evicting) return nullptr;          // an answer to an earlier question
  if (found->second->not_before > now) return nullptr;  // it is watched anew
  return found->second.get();
}

}  // namespace

bool SettleFill(LayerBlob& blob, uint32_t chunk,
                const absl::StatusOr<std::shared_ptr<const std::string>>& bytes,
                const Fill* expected, TimePoint now) {
  Waiters waiters;
  {
    MutexLock lock(&blob.mutex);
    Fill* const fill = FindToSettle(blob, chunk, expected, now);
    if (fill == nullptr) return false;
    waiters = std::move(fill->waiters);
    fill->settled = true;
    if (bytes.ok()) {
      fill->bytes = *bytes;
      blob.faults_in_store.NoteRight(chunk);
    } else {
      blob.fills.erase(chunk);
    }
  }
  for (const auto& waiter : waiters) {
    if (bytes.ok()) waiter->Take(blob.layer().chunks[chunk].blob_offset, **bytes);
    waiter->PartDone(bytes.status());
  }
  return true;
}

bool SettleDamaged(LayerBlob& blob, uint32_t chunk, const absl::Status& damage, TimePoint now,
                   bool* begins) {
  Waiters waiters;
  {
    MutexLock lock(&blob.mutex);
    Fill* const fill = FindToSettle(blob, chunk, nullptr, TimePoint::max());
    if (fill == nullptr) return false;
    waiters = std::move(fill->waiters);
    fill->settled = true;
    // Before anybody can ask for it again, and find it right.
    *begins = blob.faults_in_store.Note(chunk, Message(damage), now);
    blob.fills.erase(chunk);
  }
  for (const auto& waiter : waiters) waiter->PartDone(DataLoss(Message(damage)));
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
    LetFollowersGo(*blob);
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
  TellFaults(*blob, /*all=*/true);
}

void FillEngine::GiveUp(const Run& run, uint32_t chunk, const absl::Status& status) {
  LayerBlob& blob = *run.blob;
  if (!MayBeElsewhere(status)) {
    (void)SettleFill(blob, chunk, status);
    return;
  }
  bool begins = false;
  if (!SettleDamaged(blob, chunk, status, clock_->Monotonic(), &begins)) return;
  ++counters_.chunks_damaged;
  if (!begins) return;
  Log(LogLevel::kWarning,
      "chunks of a layer are missing or damaged in the store; reads of them fail, ignoring",
      {{"images", options_.name_images(blob.id())},
       {"record", blob.record().ToString()},
       {"layer", blob.layer().diff_id.ToString()},
       {"chunk", blob.layer().chunks[chunk].digest.ToString()},
       {"index", std::to_string(chunk)},
       {"blob", std::to_string(blob.id())},
       {"error", status.ToString()}});
}

void FillEngine::TellFaults(LayerBlob& blob, bool all) {
  const TimePoint now = clock_->Monotonic();
  std::optional<ChunkFaults::Report> in_store, on_disk;
  {
    MutexLock lock(&blob.mutex);
    in_store = all ? blob.faults_in_store.TakeAny() : blob.faults_in_store.TakeEnded(now);
    on_disk = all ? blob.faults_on_disk.TakeAny() : blob.faults_on_disk.TakeEnded(now);
  }
  const auto tell = [&](const char* message, const ChunkFaults::Report& report) {
    const auto time = std::chrono::duration_cast<std::chrono::seconds>(now - report.since);
    Log(LogLevel::kInfo, message,
        {{"record", blob.record().ToString()},
         {"blob", std::to_string(blob.id())},
         {"seconds", std::to_string(time.count())},
         {"chunks", std::to_string(report.chunks)},
         {"times", std::to_string(report.times)},
         {"still_wrong", std::to_string(report.wrong)}});
  };
  const char* removed = "a layer with missing or damaged chunks was removed from this node";
  if (in_store.has_value())
    tell(all ? removed : "missing or damaged chunks of a layer are right again", *in_store);
  if (on_disk.has_value()) {
    tell(all ? removed : "the disk damages a blob cache no more", *on_disk);
  }
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
    outage_.Look();
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
          EndLead(*watched.blob, chunk);  // its request may hang for ever
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
