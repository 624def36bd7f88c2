// A clock that moves when told to. Thread-safe.
#pragma once

#include <atomic>

#include "backend/base/clock.h"

namespace slacker::testing {

class FakeClock final : public Clock {
 public:
  int64_t WallNanos() const override { return 1'700'000'000'000'000'000 + nanos_; }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(nanos_));
  }
  void Advance(std::chrono::nanoseconds by) { nanos_ += by.count(); }

 private:
  std::atomic<int64_t> nanos_{1};
};

}  // namespace slacker::testing
