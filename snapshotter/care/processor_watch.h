// Whether others use the machine's processors: for threads that may have only what is left over.
//
// Niceness alone does not see to that. It counts within a scheduling group, and containers are in other
// groups than a daemon: those of cgroups (cpu.weight), or else one for each session of processes
// (sched(7), "The autogroup feature").
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"

namespace slacker {

// Since some moment in the past, summed over all processors.
struct ProcessorTimes {
  std::chrono::nanoseconds busy{0};  // with anything
  std::chrono::nanoseconds ours{0};  // of this process
};

// `busy` of the text of /proc/stat (proc_stat(5)): waiting for a disk is idleness, time that a
// hypervisor has given to others is not. INVALID_ARGUMENT.
absl::StatusOr<std::chrono::nanoseconds> ParseBusyTime(std::string_view text);
// Of this machine.
absl::StatusOr<ProcessorTimes> ReadProcessorTimes();

// Thread-safe.
class ProcessorWatch {
 public:
  struct Options {
    const Clock* clock = nullptr;  // outlives the watch
    std::function<absl::StatusOr<ProcessorTimes>()> read = ReadProcessorTimes;
    int processors = 1;
    std::chrono::nanoseconds window = std::chrono::milliseconds(200);
  };

  explicit ProcessorWatch(Options options) : options_(std::move(options)) {}

  // Since the last call but those within a window of it, others left less than three quarters of a
  // processor. At first, and where the kernel does not tell: no.
  bool Busy();

 private:
  struct Sample {
    std::chrono::steady_clock::time_point at;
    ProcessorTimes times;
  };

  const Options options_;
  Mutex mutex_;
  std::optional<Sample> last_ ABSL_GUARDED_BY(mutex_);
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace slacker
