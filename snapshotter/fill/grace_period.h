// Lets somebody who takes something away wait for those who may still be using it. Those who come
// later see that it is gone, and are not waited for: they can neither be held up nor hold up.
// Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "backend/base/mutex.h"

namespace slacker {

class GracePeriod {
 public:
  // Move-only: from Enter until its end.
  class Use {
   public:
    Use(Use&& other) noexcept : of_(std::exchange(other.of_, nullptr)), phase_(other.phase_) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (of_ != nullptr) of_->Leave(phase_);
    }

   private:
    friend class GracePeriod;
    Use(GracePeriod* of, size_t phase) : of_(of), phase_(phase) {}
    GracePeriod* of_;
    size_t phase_;
  };

  // Before looking whether it is there.
  Use Enter() {
    MutexLock lock(&mutex_);
    ++users_[phase_];
    return Use(this, phase_);
  }

  // Until every Use that was there when this was called has ended. REQUIRES: one caller at a time,
  // who has no Use himself; so nobody is left of the phase before.
  void Wait() {
    MutexLock lock(&mutex_);
    const size_t earlier = phase_;
    phase_ = 1 - phase_;
    while (users_[earlier] > 0) changed_.Wait(&mutex_);
  }

 private:
  void Leave(size_t phase) {
    MutexLock lock(&mutex_);
    if (--users_[phase] == 0) changed_.SignalAll();
  }

  Mutex mutex_;
  CondVar changed_;
  size_t phase_ ABSL_GUARDED_BY(mutex_) = 0;
  std::array<uint64_t, 2> users_ ABSL_GUARDED_BY(mutex_) = {};
};

}  // namespace slacker
