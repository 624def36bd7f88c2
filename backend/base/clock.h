// The clock seam: tests put a fake in its place (tests/support/fake_clock.h).
#pragma once

#include <chrono>
#include <cstdint>

namespace slacker {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since 1970-01-01 UTC. Thread-safe.
  virtual int64_t WallNanos() const = 0;
  // For budgets and back-off; never goes back. Thread-safe.
  virtual std::chrono::steady_clock::time_point Monotonic() const = 0;
};

// The system's clocks; lives for ever.
const Clock& SystemClock();

}  // namespace slacker
