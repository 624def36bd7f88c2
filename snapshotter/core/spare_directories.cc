#include "snapshotter/core/spare_directories.h"

#include <utility>

#include "backend/base/status.h"

namespace slacker {

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

void SpareDirectories::Refill() {
  absl::StatusOr<std::vector<int64_t>> spares = make_(keep_);
  // A disk that is nearly full may have room for one.
  if (!spares.ok()) spares = make_(1);
  MutexLock lock(&mutex_);
  if (spares.ok()) ready_.insert(ready_.end(), spares->begin(), spares->end());
  last_ = spares.status();
  making_ = false;
  ++refills_;
  made_.SignalAll();
}

absl::StatusOr<int64_t> SpareDirectories::Take() {
  if (keep_ == 0) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> one, make_(1));
    return one.front();
  }
  MutexLock lock(&mutex_);
  while (ready_.empty()) {
    StartRefill();
    const uint64_t before = refills_;
    while (refills_ == before) made_.Wait(&mutex_);
    if (!last_.ok()) return last_;
  }
  const int64_t id = ready_.back();
  ready_.pop_back();
  if (ready_.size() < static_cast<size_t>(keep_) / 2) StartRefill();
  return id;
}

void SpareDirectories::GiveBack(int64_t id) {
  MutexLock lock(&mutex_);
  ready_.push_back(id);
}

std::vector<int64_t> SpareDirectories::TakeAll() {
  MutexLock lock(&mutex_);
  ended_ = true;
  while (making_) made_.Wait(&mutex_);
  return std::exchange(ready_, {});
}

}  // namespace slacker
