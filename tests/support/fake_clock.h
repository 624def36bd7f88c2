// A clock that moves when told to. Thread-safe.
#pragma once

#include <atomic>
#include <new>

#include "backend/base/clock.h"

namespace slacker::testing {

class FakeClock final : public Clock {
 public:
  int64_t WallNanos() const override { return 1'700'000'000'000'000'000 + nanos_; }
  std::chrono::steady_clock::time_point Monotonic() const override {
    if (looks_before_throwing_ > 0 && --looks_before_throwing_ == 0) throw std::bad_alloc();
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(nanos_));
  }
  void Advance(std::chrono::nanoseconds by) { nanos_ += by.count(); }

  // The n-th look at the monotonic clock that this thread takes from now on throws; 0: none does.
  static void ThrowInThisThread(int n) { looks_before_throwing_ = n; }

 private:
  static inline thread_local int looks_before_throwing_ = 0;
  std::atomic<int64_t> nanos_{1};
};

}  // namespace slacker::testing
