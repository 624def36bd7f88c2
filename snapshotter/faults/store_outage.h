// Times in which the store does not answer reads: one line in the log when such a time begins, one
// when it ends, with what it cost. It begins with a question that was not answered, and ends with the
// answer to one that was asked after the last that was not: what answers and fails in turn is one
// outage. Thread-safe.
//
// A store that hangs says nothing by itself: it counts as one that does not answer when nothing at all
// has come from it for kSilence although a question is open, and once more whenever that has passed
// again; any answer ends that. A question that is older than one that was answered is stuck by itself,
// and is no outage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"

namespace slacker {

// Whether asking the store again may help.
bool MayAnswerLater(const absl::Status& status);

class StoreOutage {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kSilence{20};

  struct Report {
    bool silent = false;
    TimePoint since;                        // silent: of the first question that was not answered
    std::string error;                      // silent: of the last one
    uint64_t unanswered = 0, given_up = 0;  // silent: since then
    uint64_t outages = 0;                   // begun, since the start
  };

  // `clock` outlives it.
  explicit StoreOutage(const Clock* clock) : clock_(clock) {}

  // A question that is with the store. Move-only.
  class Question {
   public:
    Question() = default;
    Question(Question&& other) noexcept
        : outage_(std::exchange(other.outage_, nullptr)), place_(other.place_) {}
    Question& operator=(Question&& other) noexcept {
      std::swap(outage_, other.outage_);
      std::swap(place_, other.place_);
      return *this;
    }
    ~Question() {
      if (outage_ != nullptr) outage_->End(place_);
    }
    // REQUIRES: it came from Ask.
    TimePoint asked() const { return *place_; }

   private:
    friend class StoreOutage;
    using Place = std::multiset<TimePoint>::iterator;
    Question(StoreOutage* outage, Place place) : outage_(outage), place_(place) {}
    StoreOutage* outage_ = nullptr;
    Place place_;
  };
  Question Ask();
  // Looks whether one has been with the store for too long. Called again and again while there are any.
  void Look();

  // What became of a question that was asked at `asked`.
  void Note(const absl::Status& answer, TimePoint asked);
  // Nobody waits for so many chunks any more: `why` is what the waiters were told.
  void NoteGivenUp(const absl::Status& why, uint64_t chunks);

  Report Describe() const;

 private:
  void End(Question::Place place);
  void NoteSilence(const absl::Status& status, bool failed);
  void Hear(TimePoint asked);

  const Clock* const clock_;
  std::atomic<bool> silent_ = false;  // as report_.silent; spares answers the mutex
  mutable Mutex mutex_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  TimePoint last_ ABSL_GUARDED_BY(mutex_);    // when a question came back unanswered last
  TimePoint looked_ ABSL_GUARDED_BY(mutex_);  // when silence was counted last
  // When an answer came last, and when the latest question that has one was asked.
  std::atomic<TimePoint> heard_, answered_;
  std::multiset<TimePoint> open_ ABSL_GUARDED_BY(mutex_);  // when these were asked
};

}  // namespace slacker
