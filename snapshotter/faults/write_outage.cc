#include "snapshotter/faults/write_outage.h"

#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {

void WriteOutage::Note(const absl::Status& written, uint64_t blob_id) {
  if (written.ok() && !failing_.load(std::memory_order_relaxed)) return;
  {
    MutexLock lock(&mutex_);
    succeeded_ = written.ok();
    if (!written.ok()) {
      ++failed_;
      ++report_.failed_writes;
      report_.error = Message(written);
      last_ = clock_->Monotonic();
      if (report_.failing) return;
      report_.failing = failing_ = true;
      report_.since = last_;
    }
  }
  if (written.ok()) {
    Look();
    return;
  }
  Log(LogLevel::kWarning,
      "cannot write a blob cache; what is read is fetched again next time, ignoring",
      {{"blob", std::to_string(blob_id)}, {"error", written.ToString()}});
}

void WriteOutage::Look() {
  Report ended;
  {
    MutexLock lock(&mutex_);
    if (!report_.failing || !succeeded_ || clock_->Monotonic() < last_ + kQuiet) return;
    ended = std::exchange(report_, {});
    failing_ = false;
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
