// Times in which the store does not answer reads: one line in the log when such a time begins, one
// when it ends, with what it cost. It begins with a question that was not answered, and ends with the
// answer to one that was asked after the last that was not: what answers and fails in turn is one
// outage. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"

namespace slacker {

class StoreOutage {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Report {
    bool silent = false;
    TimePoint since;                        // silent: of the first question that was not answered
    std::string error;                      // silent: of the last one
    uint64_t unanswered = 0, given_up = 0;  // silent: since then
    uint64_t outages = 0;                   // begun, since the start
  };

  // `clock` outlives it.
  explicit StoreOutage(const Clock* clock) : clock_(clock) {}

  // What became of a question that was asked at `asked`.
  void Note(const absl::Status& answer, TimePoint asked);
  // Nobody waits for so many chunks any more: `why` is what the waiters were told.
  void NoteGivenUp(const absl::Status& why, uint64_t chunks);

  Report Describe() const;

 private:
  const Clock* const clock_;
  std::atomic<bool> silent_ = false;  // as report_.silent; spares answers the mutex
  mutable Mutex mutex_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  TimePoint last_ ABSL_GUARDED_BY(mutex_);  // when it was seen last that a question is not answered
};

}  // namespace slacker
