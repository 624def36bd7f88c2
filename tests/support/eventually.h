// Waiting for what other threads and processes do.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace slacker::testing {

// Whether `condition` comes true within a minute; it is asked every millisecond, less often when to
// ask takes long: what is waited for needs the processor. For use inside EXPECT_TRUE or ASSERT_TRUE.
template <typename Condition>
bool Eventually(Condition condition) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::minutes(1);
  for (Clock::time_point asked = Clock::now(); !condition(); asked = Clock::now()) {
    const Clock::time_point answered = Clock::now();
    if (answered > end) return false;
    std::this_thread::sleep_for(std::clamp<Clock::duration>(
        4 * (answered - asked), std::chrono::milliseconds(1), std::chrono::milliseconds(100)));
  }
  return true;
}

}  // namespace slacker::testing
