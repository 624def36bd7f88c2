#include "snapshotter/images/build_queue.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "backend/base/status.h"
#include "backend/base/thread_priority.h"

namespace slacker {
namespace {

constexpr int kLowPriority = 10;

}  // namespace

BuildQueue::BuildQueue(BuildFunction build, std::chrono::nanoseconds delay)
    : build_(std::move(build)), delay_(delay) {
  worker_ = std::thread([this] {
    (void)pthread_setname_np(pthread_self(), "slk-build");  // only a label
    Work();
  });
}

BuildQueue::~BuildQueue() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  worker_.join();
}

void BuildQueue::Schedule(const Digest& chain_id, bool at_once) {
  MutexLock lock(&mutex_);
  const auto [build, is_new] = builds_.try_emplace(chain_id);
  if (!is_new && !at_once) return;
  build->second.due = std::chrono::steady_clock::now();
  if (!at_once) build->second.due += delay_;
  changed_.SignalAll();
}

void BuildQueue::CallOff(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  const auto build = builds_.find(chain_id);
  if (build != builds_.end() && build->second.state == State::kScheduled) builds_.erase(build);
}

absl::StatusOr<MetadataImage> BuildQueue::Get(const Digest& chain_id) {
  {
    MutexLock lock(&mutex_);
    for (;;) {
      const auto build = builds_.find(chain_id);
      if (build == builds_.end() || build->second.state == State::kScheduled) {
        builds_[chain_id].state = State::kRunning;
        break;
      }
      if (build->second.state == State::kBuilt) return build->second.image;
      // Somebody waits for it now.
      if (build->second.thread_id != 0) SetNiceness(build->second.thread_id, 0);
      changed_.Wait(&mutex_);
    }
  }
  return Run(chain_id);
}

void BuildQueue::Forget(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  for (;;) {
    const auto build = builds_.find(chain_id);
    if (build == builds_.end()) return;
    if (build->second.state != State::kRunning) {
      builds_.erase(build);
      return;
    }
    changed_.Wait(&mutex_);
  }
}

bool BuildQueue::IdleForTest() {
  MutexLock lock(&mutex_);
  return std::all_of(builds_.begin(), builds_.end(),
                     [](const auto& build) { return build.second.state == State::kBuilt; });
}

// REQUIRES: the build is in the state kRunning because of this caller.
absl::StatusOr<MetadataImage> BuildQueue::Run(const Digest& chain_id) {
  absl::StatusOr<MetadataImage> image = Internal("the build has thrown an exception");
  {
    // An exception, too, ends the build for those who wait for it.
    const absl::Cleanup settle = [&] {
      MutexLock lock(&mutex_);
      if (image.ok()) {
        builds_[chain_id] = {State::kBuilt, {}, 0, *image};
      } else {
        builds_.erase(chain_id);  // the next one who asks tries again
      }
      changed_.SignalAll();
    };
    image = build_(chain_id);
  }
  return image;
}

void BuildQueue::Work() {
  const int thread_id = gettid();
  for (;;) {
    Digest next;
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
      auto earliest = builds_.end();
      for (auto build = builds_.begin(); build != builds_.end(); ++build) {
        if (build->second.state != State::kScheduled) continue;
        if (earliest == builds_.end() || build->second.due < earliest->second.due) earliest = build;
      }
      if (earliest == builds_.end()) {
        changed_.Wait(&mutex_);
        continue;
      }
      const auto left = earliest->second.due - std::chrono::steady_clock::now();
      if (left > std::chrono::nanoseconds::zero()) {
        (void)changed_.WaitFor(&mutex_, left);
        continue;
      }
      next = earliest->first;
      earliest->second.state = State::kRunning;
      // With the state, so that who waits from now on finds whom to hurry.
      earliest->second.thread_id = thread_id;
      SetNiceness(thread_id, kLowPriority);
    }
    (void)Run(next);  // who needs it will meet the same error and report it
  }
}

}  // namespace slacker
