// Times in which blob caches cannot be written, since their disk is full or broken: one line in the
// log when such a time begins, one with a count when it is over. On a disk that is just full some
// writes succeed: it is over when one has succeeded since the last that failed, kQuiet ago. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"

namespace slacker {

class WriteOutage {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kQuiet{10};

  struct Report {
    bool failing = false;
    TimePoint since;             // failing: of the first write that failed
    uint64_t failed_writes = 0;  // failing: since then
    std::string error;           // failing: of the last one
  };

  // `clock` outlives it.
  explicit WriteOutage(const Clock* clock) : clock_(clock) {}

  // What became of a write to the cache of a blob.
  void Note(const absl::Status& written, uint64_t blob_id);
  // Looks whether it is over: what comes next may be long in coming. Called now and then.
  void Look();

  // Since the start.
  uint64_t failed_writes() const { return failed_; }
  Report Describe() const;

 private:
  const Clock* const clock_;
  std::atomic<uint64_t> failed_ = 0;
  std::atomic<bool> failing_ = false;  // as report_.failing; spares writes the mutex
  mutable Mutex mutex_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  bool succeeded_ ABSL_GUARDED_BY(mutex_) = false;  // since the last that failed
  TimePoint last_ ABSL_GUARDED_BY(mutex_);          // when a write failed last
};

}  // namespace slacker
