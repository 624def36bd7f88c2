#include "snapshotter/faults/write_outage.h"

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {

void WriteOutage::Note(const absl::Status& written, uint64_t blob_id) {
  if (written.ok() && !failing_.load(std::memory_order_relaxed)) return;
  Report ended;
  {
    MutexLock lock(&mutex_);
    const TimePoint now = clock_->Monotonic();
    if (!written.ok()) {
      ++failed_;
      ++report_.failed_writes;
      report_.error = Message(written);
      last_ = now;
      if (report_.failing) return;
      report_.failing = true;
      report_.since = now;
    } else {
      if (!report_.failing || now < last_ + kQuiet) return;
      ended = report_;
      report_ = {};
    }
    failing_ = report_.failing;
  }
  if (!written.ok()) {
    Log(LogLevel::kWarning,
        "cannot write a blob cache; what is read is fetched again next time, ignoring",
        {{"blob", std::to_string(blob_id)}, {"error", written.ToString()}});
    return;
  }
  const auto time =
      std::chrono::duration_cast<std::chrono::seconds>(clock_->Monotonic() - ended.since);
  Log(LogLevel::kInfo, "blob caches can be written again",
      {{"seconds", std::to_string(time.count())},
       {"failed_writes", std::to_string(ended.failed_writes)}});
}

WriteOutage::Report WriteOutage::Describe() const {
  MutexLock lock(&mutex_);
  return report_;
}

}  // namespace slacker
