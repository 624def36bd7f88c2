// Waiting for what other threads and processes do.
#pragma once

#include <chrono>
#include <thread>

namespace slacker::testing {

// Whether `condition` comes true within a minute; it is asked every millisecond. For use inside
// EXPECT_TRUE or ASSERT_TRUE.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace slacker::testing
