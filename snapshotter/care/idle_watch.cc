#include "snapshotter/care/idle_watch.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>

#include "backend/base/thread_priority.h"

namespace slacker {
namespace {

// Beside others we have a twentieth of the time.
constexpr int kRests = 19;
constexpr std::chrono::milliseconds kLongestRest{1000};

}  // namespace

void TakeTheLastPlace(const char* name) {
  (void)pthread_setname_np(pthread_self(), name);  // only a label
  SetNiceness(gettid(), kLowestNiceness);
  TakeIdleIo();
}

void IdleWatch::Stop() {
  MutexLock lock(&mutex_);
  stopping_ = true;
  changed_.SignalAll();
}

bool IdleWatch::stopping() {
  MutexLock lock(&mutex_);
  return stopping_;
}

bool IdleWatch::GiveWay() {
  const auto worked = std::chrono::steady_clock::now() - working_since_;
  const bool rest = busy_ != nullptr && busy_();
  return Pause(rest ? std::min<std::chrono::nanoseconds>(kRests * worked, kLongestRest)
                    : std::chrono::nanoseconds(0));
}

bool IdleWatch::Pause(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  MutexLock lock(&mutex_);
  for (;;) {
    const auto left = end - std::chrono::steady_clock::now();
    if (stopping_ || left <= left.zero()) {
      working_since_ = std::chrono::steady_clock::now();
      return !stopping_;
    }
    (void)changed_.WaitFor(&mutex_, left);
  }
}

bool IdleWatch::WaitUntilIdle() {
  for (;;) {
    const uint64_t before = activity_();
    if (!Pause(idle_)) return false;
    seen_ = activity_();
    if (seen_ == before) return true;
  }
}

bool IdleWatch::WaitForActivity(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!Disturbed()) {
    const std::chrono::nanoseconds left = end - std::chrono::steady_clock::now();
    if (left <= left.zero()) break;
    if (!Pause(std::min(idle_, left))) return false;
  }
  return !stopping();
}

}  // namespace slacker
