// A BlobSource on strings. Reads can be held, and made to fail or to come out short. Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "snapshotter/fuse/blob_source.h"

namespace slacker::testing {

class FakeBlobSource final : public BlobSource {
 public:
  enum class Mode { kAnswer, kHold, kFail, kShort, kCancel };

  void Add(uint64_t blob_id, std::string content) {
    MutexLock lock(&mutex_);
    content.resize((content.size() + 4095) / 4096 * 4096);
    blobs_[blob_id] = std::move(content);
  }

  absl::StatusOr<uint64_t> BlobSize(uint64_t blob_id) override {
    MutexLock lock(&mutex_);
    const auto found = blobs_.find(blob_id);
    if (found == blobs_.end()) return NotFound("no such blob");
    return found->second.size();
  }

  void ReadAsync(uint64_t blob_id, uint64_t offset, uint32_t size, ReadCallback done) override {
    absl::StatusOr<std::string> answer = Internal("unset");
    {
      MutexLock lock(&mutex_);
      const std::string& blob = blobs_[blob_id];
      std::string data = blob.substr(std::min<uint64_t>(offset, blob.size()), size);
      ++reads_;
      switch (mode_) {
        case Mode::kHold:
          held_.push_back([done = std::move(done), data = std::move(data)] { done(data); });
          changed_.SignalAll();
          return;
        case Mode::kFail:
          answer = DataLoss("a bad chunk");
          break;
        case Mode::kCancel:
          answer = Cancelled("the source stops");
          break;
        case Mode::kShort:
          data.resize(data.size() / 2);
          answer = std::move(data);
          break;
        case Mode::kAnswer:
          answer = std::move(data);
          break;
      }
    }
    done(std::move(answer));
  }

  // What happens to reads from now on; reads that are held stay so until Release.
  void SetMode(Mode mode) {
    MutexLock lock(&mutex_);
    mode_ = mode;
  }
  // Waits until at least `count` reads are held; false after a minute.
  bool WaitUntilHeld(size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    MutexLock lock(&mutex_);
    while (held_.size() < count) {
      const auto left = end - std::chrono::steady_clock::now();
      if (left.count() <= 0) return false;
      (void)changed_.WaitFor(&mutex_, left);
    }
    return true;
  }
  // Answers everything that is held, and whatever comes from now on.
  void Release() {
    std::vector<std::function<void()>> held;
    {
      MutexLock lock(&mutex_);
      mode_ = Mode::kAnswer;
      held.swap(held_);
    }
    for (const auto& answer : held) answer();
  }
  uint64_t reads() const {
    MutexLock lock(&mutex_);
    return reads_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  Mode mode_ ABSL_GUARDED_BY(mutex_) = Mode::kAnswer;
  uint64_t reads_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, std::string> blobs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker::testing
