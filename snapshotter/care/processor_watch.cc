#include "snapshotter/care/processor_watch.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr double kEnoughProcessors = 0.75;
// Columns of the line "cpu": user, nice, system, idle, iowait, irq, softirq, steal. What guests take is
// within the first two.
constexpr int kIdle = 3, kWaiting = 4, kColumns = 8;

std::chrono::nanoseconds ToNanos(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

absl::StatusOr<std::chrono::nanoseconds> ParseBusyTime(std::string_view text) {
  std::istringstream line(std::string(text.substr(0, text.find('\n'))));
  std::string name;
  line >> name;
  int64_t busy = 0;
  for (int column = 0; column < kColumns; ++column) {
    int64_t ticks = -1;
    line >> ticks;
    if (name != "cpu" || !line || ticks < 0) return InvalidArgument("not the times of processors");
    if (column != kIdle && column != kWaiting) busy += ticks;
  }
  return std::chrono::nanoseconds(std::chrono::seconds(1)) / sysconf(_SC_CLK_TCK) * busy;
}

absl::StatusOr<ProcessorTimes> ReadProcessorTimes() {
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  ProcessorTimes times;
  ASSIGN_OR_RETURN(times.busy, ParseBusyTime(line));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return ErrnoError(errno, "getrusage");
  times.ours = ToNanos(usage.ru_utime) + ToNanos(usage.ru_stime);
  return times;
}

bool ProcessorWatch::Busy() {
  const auto now = options_.clock->Monotonic();
  {
    MutexLock lock(&mutex_);
    if (last_.has_value() && now - last_->at < options_.window) return busy_;
  }
  const auto times = options_.read();
  MutexLock lock(&mutex_);
  if (last_.has_value() && last_->at >= now) return busy_;  // another thread was faster
  if (!times.ok()) {
    last_.reset();
    return busy_ = false;
  }
  if (last_.has_value()) {
    const auto others = (times->busy - last_->times.busy) - (times->ours - last_->times.ours);
    const std::chrono::duration<double> used = others, passed = now - last_->at;
    busy_ = options_.processors - used / passed < kEnoughProcessors;
  }
  last_ = Sample{now, *times};
  return busy_;
}

}  // namespace slacker
