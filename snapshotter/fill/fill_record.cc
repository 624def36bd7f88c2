// What FillEngine does for a layer record that the node has lost.
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

// Every read of its layer asks anew.
constexpr std::chrono::minutes kTellLostAgain{5};

}  // namespace

void FillEngine::FetchRecord(const Digest& record, std::function<void(const absl::Status&)> done) {
  {
    MutexLock lock(&mutex_);
    if (!stopping_) {
      const auto [fetch, is_new] = record_fetches_.try_emplace(record);
      fetch->second.waiters.push_back(std::move(done));
      if (!is_new) return;
      fetch->second.deadline = clock_->Monotonic() + options_.stall_timeout;
      fetch_pool_->Add([self = shared_from_this(), record] { self->TryRecord(record); });
      changed_.Signal();
      return;
    }
  }
  done(Cancelled("the daemon stops"));
}

void FillEngine::TryRecord(const Digest& record) {
  const absl::Status status = BringRecord(record);
  if (reader_ == nullptr || !MayAnswerLater(status)) return FinishRecord(record, status);
  ++counters_.retries;
  MutexLock lock(&mutex_);
  const auto found = record_fetches_.find(record);
  if (found == record_fetches_.end()) return;  // given up meanwhile
  RecordFetch& fetch = found->second;
  fetch.running = false;
  fetch.due = clock_->Monotonic() + PauseAfter(++fetch.attempt);
}

absl::Status FillEngine::BringRecord(const Digest& record) {
  // Another reader, whose question came a little earlier, may have brought it.
  if (records_->Load(record).ok()) return absl::OkStatus();
  if (reader_ == nullptr) return Unavailable("no store is configured");
  const StoreOutage::Question question = outage_.Ask();
  const absl::StatusOr<RecordObject> read = reader_->ReadRecord(record);
  outage_.Note(read.status(), question.asked());
  RETURN_IF_ERROR(read.status());
  RETURN_IF_ERROR(records_->Save(record, read->stored));
  return records_->Sync();
}

void FillEngine::FinishRecord(const Digest& record, const absl::Status& status) {
  std::vector<std::function<void(const absl::Status&)>> waiters;
  uint64_t times = 0;  // that it could not be fetched; none to be told of yet
  {
    MutexLock lock(&mutex_);
    const auto found = record_fetches_.find(record);
    if (found == record_fetches_.end()) return;
    waiters = std::move(found->second.waiters);
    record_fetches_.erase(found);
    LostRecord& lost = lost_records_[record];
    const TimePoint now = clock_->Monotonic();
    if (status.ok()) {
      times = lost.times;
      lost_records_.erase(record);
    } else if (++lost.times == 1 || now >= lost.told + kTellLostAgain) {
      times = lost.times;
      lost.told = now;
    }
  }
  if (status.ok()) {
    Log(LogLevel::kInfo, "a damaged layer record was fetched again",
        {{"record", record.ToString()}, {"failed_before", std::to_string(times)}});
  } else if (times > 0) {
    Log(LogLevel::kWarning, "a damaged layer record cannot be fetched again; reads fail, ignoring",
        {{"record", record.ToString()},
         {"times", std::to_string(times)},
         {"error", status.ToString()}});
  }
  const absl::Status told = absl::IsNotFound(status) ? DataLoss(Message(status)) : status;
  for (const auto& done : waiters) done(told);
}

std::vector<FillEngine::RecordFetch> FillEngine::TakeExpiredRecords() {
  std::vector<RecordFetch> expired;
  const TimePoint now = clock_->Monotonic();
  for (auto fetch = record_fetches_.begin(); fetch != record_fetches_.end();) {
    if (fetch->second.deadline > now) {
      ++fetch;
    } else {
      expired.push_back(std::move(fetch->second));
      fetch = record_fetches_.erase(fetch);
    }
  }
  return expired;
}

void FillEngine::TryDueRecords() {
  const TimePoint now = clock_->Monotonic();
  for (auto& [record, fetch] : record_fetches_) {
    if (fetch.running || fetch.due > now) continue;
    fetch.running = true;
    fetch_pool_->Add([self = shared_from_this(), record = record] { self->TryRecord(record); });
  }
}

}  // namespace slacker
