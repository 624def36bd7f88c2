// How much may be asked for at once. Loop thread only.
//
// Answers come into buffers of their own: more of them than the processor's caches hold are slower,
// not faster, and the server is busy with far less.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

namespace slacker::nfs {

class ReadLimit {
 public:
  static constexpr uint64_t kBytes = 16 << 20;

  // Runs `start` now or, in order, once there is room. A read that is larger than all of it goes
  // alone.
  void Begin(uint64_t bytes, std::function<void()> start) {
    waiting_.emplace_back(bytes, std::move(start));
    Run();
  }
  // Once for each `start` that has run.
  void End(uint64_t bytes) {
    under_way_ -= bytes;
    Run();
  }

 private:
  void Run() {
    while (!waiting_.empty() &&
           (under_way_ == 0 || under_way_ + waiting_.front().first <= kBytes)) {
      auto [bytes, start] = std::move(waiting_.front());
      waiting_.pop_front();
      under_way_ += bytes;
      start();
    }
  }

  uint64_t under_way_ = 0;
  std::deque<std::pair<uint64_t, std::function<void()>>> waiting_;
};

}  // namespace slacker::nfs
