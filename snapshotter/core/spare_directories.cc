#include "snapshotter/core/spare_directories.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kBatch = 16;
constexpr std::chrono::milliseconds kQuiet{3};

}  // namespace

SpareDirectories::SpareDirectories(int keep, Make make) : keep_(keep), make_(std::move(make)) {
  if (keep_ == 0) return;
  maker_ = std::make_unique<ThreadPool>("slk-spare", 1);
  MutexLock lock(&mutex_);
  StartRefill();
}

void SpareDirectories::StartRefill() {
  if (making_ || ended_) return;
  making_ = true;
  maker_->Add([this] { Refill(); });
}

// Who makes directories waits for the file system's journal, and so does, then, who renames one at the
// same time. So a burst of calls is let pass first.
int SpareDirectories::NextBatch() {
  MutexLock lock(&mutex_);
  do {
    taken_ = false;
    if (ended_ || ready_.size() < static_cast<size_t>(keep_) / 4) break;
    (void)needed_.WaitFor(&mutex_, kQuiet);  // looked at above
  } while (taken_);
  const int missing = keep_ - static_cast<int>(ready_.size());
  if (!ended_ && missing > 0) return std::min(missing, kBatch);
  making_ = false;
  made_.SignalAll();
  return 0;
}

void SpareDirectories::Refill() {
  while (const int count = NextBatch()) {
    absl::StatusOr<std::vector<int64_t>> spares = make_(count);
    // A disk that is nearly full may have room for one.
    const bool all = spares.ok();
    if (!all) spares = make_(1);
    MutexLock lock(&mutex_);
    if (spares.ok()) ready_.insert(ready_.end(), spares->begin(), spares->end());
    last_ = spares.status();
    ++batches_;
    if (!all) making_ = false;
    made_.SignalAll();
    if (!all) return;
  }
}

absl::StatusOr<int64_t> SpareDirectories::Take() {
  if (keep_ == 0) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> one, make_(1));
    return one.front();
  }
  MutexLock lock(&mutex_);
  while (ready_.empty()) {
    StartRefill();
    const uint64_t before = batches_;
    while (batches_ == before) made_.Wait(&mutex_);
    if (!last_.ok()) return last_;
  }
  const int64_t id = ready_.back();
  ready_.pop_back();
  taken_ = true;
  if (ready_.size() < static_cast<size_t>(keep_) / 2) StartRefill();
  if (ready_.size() < static_cast<size_t>(keep_) / 4) needed_.Signal();
  return id;
}

void SpareDirectories::GiveBack(int64_t id) {
  MutexLock lock(&mutex_);
  ready_.push_back(id);
}

std::vector<int64_t> SpareDirectories::TakeAll() {
  MutexLock lock(&mutex_);
  ended_ = true;
  needed_.Signal();
  while (making_) made_.Wait(&mutex_);
  return std::exchange(ready_, {});
}

}  // namespace slacker
