#include "snapshotter/faults/store_outage.h"

#include <algorithm>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {

bool MayAnswerLater(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsInternal(status) || absl::IsResourceExhausted(status) ||
         absl::IsPermissionDenied(status);
}

StoreOutage::Question StoreOutage::Ask() {
  MutexLock lock(&mutex_);
  return {this, open_.insert(clock_->Monotonic())};
}

void StoreOutage::End(Question::Place place) {
  MutexLock lock(&mutex_);
  open_.erase(place);
}

void StoreOutage::Look() {
  const TimePoint now = clock_->Monotonic();
  {
    MutexLock lock(&mutex_);
    const auto oldest = open_.lower_bound(answered_.load(std::memory_order_relaxed));
    if (oldest == open_.end()) return;
    const TimePoint heard = heard_.load(std::memory_order_relaxed);
    if (now < std::max({*oldest, heard, looked_}) + kSilence) return;
    looked_ = now;
  }
  NoteSilence(Unavailable("no answer for " + std::to_string(kSilence.count()) + " seconds"), false);
}

void StoreOutage::Hear(TimePoint asked) {
  heard_.store(clock_->Monotonic(), std::memory_order_relaxed);
  TimePoint latest = answered_.load(std::memory_order_relaxed);
  while (latest < asked &&
         !answered_.compare_exchange_weak(latest, asked, std::memory_order_relaxed)) {
  }
}

void StoreOutage::NoteSilence(const absl::Status& status, bool failed) {
  {
    MutexLock lock(&mutex_);
    const TimePoint now = clock_->Monotonic();
    if (failed) last_ = now;
    ++report_.unanswered;
    report_.error = Message(status);
    if (report_.silent) return;
    report_.silent = true;
    report_.since = now;
    report_.unanswered = 1;
    report_.given_up = 0;
    ++report_.outages;
    silent_ = true;
  }
  Log(LogLevel::kWarning, "the store does not answer; reads of missing data wait, ignoring",
      {{"error", status.ToString()}});
}

void StoreOutage::Note(const absl::Status& answer, TimePoint asked) {
  if (MayAnswerLater(answer)) return NoteSilence(answer, true);
  Hear(asked);
  if (!silent_.load(std::memory_order_relaxed)) return;
  Report ended;
  {
    MutexLock lock(&mutex_);
    if (!report_.silent || asked < last_) return;
    ended = report_;
    report_.silent = false;
    silent_ = false;
  }
  const auto time =
      std::chrono::duration_cast<std::chrono::seconds>(clock_->Monotonic() - ended.since);
  Log(LogLevel::kInfo, "the store answers again",
      {{"seconds", std::to_string(time.count())},
       {"unanswered", std::to_string(ended.unanswered)},
       {"given_up", std::to_string(ended.given_up)}});
}

void StoreOutage::NoteGivenUp(const absl::Status& why, uint64_t chunks) {
  NoteSilence(why, false);
  MutexLock lock(&mutex_);
  report_.given_up += chunks;
}

StoreOutage::Report StoreOutage::Describe() const {
  MutexLock lock(&mutex_);
  return report_;
}

}  // namespace slacker
