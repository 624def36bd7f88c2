// Idle time of the node: for threads that may work only then. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "backend/base/mutex.h"

namespace slacker {

class IdleWatch {
 public:
  // `activity`: a number that changes whenever somebody waits for what such threads would compete
  // for; thread-safe, cheap. The node is idle when it stood still for `idle`.
  // `busy`: whether others use the processors (ProcessorWatch); null: never.
  IdleWatch(std::function<uint64_t()> activity, std::chrono::nanoseconds idle,
            std::function<bool()> busy = nullptr)
      : activity_(std::move(activity)), idle_(idle), busy_(std::move(busy)) {}

  // From now on nothing waits any more.
  void Stop();
  bool stopping();

  // False: stopped.
  bool WaitUntilIdle();
  // Not idle any more since WaitUntilIdle returned. One thread.
  bool Disturbed() const { return activity_() != seen_; }
  // Until something has happened since WaitUntilIdle returned, and at most `time`. False: stopped.
  bool WaitForActivity(std::chrono::nanoseconds time);
  // Between two pieces of work. While others use the processors, rests nineteen times as long as the one
  // before took, and at most a second: work does not stop where they always do. False: stopped.
  bool GiveWay();
  // False: stopped.
  bool Pause(std::chrono::nanoseconds time);

 private:
  const std::function<uint64_t()> activity_;
  const std::chrono::nanoseconds idle_;
  const std::function<bool()> busy_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Of the one thread that waits.
  uint64_t seen_ = 0;
  std::chrono::steady_clock::time_point working_since_;
};

// Gives the calling thread a name, and the last place for processors and disks.
void TakeTheLastPlace(const char* name);

}  // namespace slacker
