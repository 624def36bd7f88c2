#include "snapshotter/fill/store_outage.h"

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {

void StoreOutage::Note(const absl::Status& answer, TimePoint asked) {
  const bool answered = !MayAnswerLater(answer);
  if (answered && !silent_.load(std::memory_order_relaxed)) return;
  Report ended;
  {
    MutexLock lock(&mutex_);
    if (!answered) {
      last_ = clock_->Monotonic();
      ++report_.unanswered;
      report_.error = Message(answer);
      if (report_.silent) return;
      report_.silent = true;
      report_.since = last_;
      report_.unanswered = 1;
      report_.given_up = 0;
      ++report_.outages;
    } else {
      if (!report_.silent || asked < last_) return;
      ended = report_;
      report_.silent = false;
    }
    silent_ = report_.silent;
  }
  if (!answered) {
    Log(LogLevel::kWarning, "the store does not answer; reads of missing data wait, ignoring",
        {{"error", answer.ToString()}});
    return;
  }
  const auto time =
      std::chrono::duration_cast<std::chrono::seconds>(clock_->Monotonic() - ended.since);
  Log(LogLevel::kInfo, "the store answers again",
      {{"seconds", std::to_string(time.count())},
       {"unanswered", std::to_string(ended.unanswered)},
       {"given_up", std::to_string(ended.given_up)}});
}

void StoreOutage::NoteGivenUp(const absl::Status& why, uint64_t chunks) {
  Note(why, clock_->Monotonic());
  MutexLock lock(&mutex_);
  report_.given_up += chunks;
}

StoreOutage::Report StoreOutage::Describe() const {
  MutexLock lock(&mutex_);
  return report_;
}

}  // namespace slacker
