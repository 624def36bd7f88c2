// Whether the store is worth a question. Closed: every question passes. After `failures_to_open` in a
// row without an answer it is open: nothing passes for `open_for`. Then it is half-open: one question
// at a time tries, the others are refused until its outcome is known, which opens or closes it again.
//
// Small answers and large ones are counted apart: a store that is too slow for large ones alone would
// answer the small question before each of them, and every layer of a pull would cost a budget. It is
// open while either count says so.
//
// Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "backend/base/clock.h"
#include "backend/base/mutex.h"

namespace slacker {

class CircuitBreaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Options {
    int failures_to_open = 3;
    std::chrono::nanoseconds open_for = std::chrono::seconds(30);
  };
  enum class State : uint8_t { kClosed, kOpen, kHalfOpen };
  enum class Pass : uint8_t { kRefused, kAdmitted, kProbe };
  enum class Size : uint8_t { kSmall, kLarge };  // of the answer
  enum class Change : uint8_t { kUnchanged, kOpened, kClosed };

  struct Report {
    State state = State::kClosed;
    TimePoint since;       // closed since, or not closed since
    TimePoint next_probe;  // kOpen: when it becomes half-open
    uint64_t refused = 0;  // since it opened last
  };

  // `clock` outlives the breaker.
  CircuitBreaker(const Clock* clock, const Options& options);

  // Every pass that was not refused is given back by one Record or GiveBack.
  Pass Admit();
  // Whether Admit would let a question through now.
  bool WouldAdmit() const;
  // What became of it; what that changes, for whoever logs it.
  Change Record(Pass pass, Size size, bool answered);
  // Nothing became of it that says anything: another may pass in its place.
  void GiveBack(Pass pass);

  Report Describe() const;

 private:
  bool IsOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayPass() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock* const clock_;
  const Options options_;
  mutable Mutex mutex_;
  std::array<int, 2> failures_ ABSL_GUARDED_BY(mutex_) = {};  // in a row, by Size
  bool probing_ ABSL_GUARDED_BY(mutex_) = false;
  TimePoint since_ ABSL_GUARDED_BY(mutex_);
  TimePoint next_probe_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker
