// Builds of metadata images: one at a time in the background at low priority, any number at once
// for those who wait, and never two of one image.
//
// A build that is asked for in advance starts after a moment, so that the next layer of the same
// pull can call it off. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "snapshotter/images/metadata_image.h"

namespace slacker {

class BuildQueue {
 public:
  // Finds or builds the metadata image of a chain. Runs on the queue's thread or on a caller's.
  using BuildFunction = std::function<absl::StatusOr<MetadataImage>(const Digest& chain_id)>;

  BuildQueue(BuildFunction build, std::chrono::nanoseconds delay);
  // Waits for a build that is under way; those that have not begun are dropped.
  ~BuildQueue();

  // Will be built in the background, unless it is called off or built already. `at_once`: nothing is
  // going to call it off.
  void Schedule(const Digest& chain_id, bool at_once = false);
  // Undoes Schedule if the build has not begun.
  void CallOff(const Digest& chain_id);
  // Builds now, on this thread, or waits for the build under way. The result is kept.
  absl::StatusOr<MetadataImage> Get(const Digest& chain_id);
  // Forgets a result; waits for a build under way.
  void Forget(const Digest& chain_id);
  // Nothing is scheduled or under way.
  bool IdleForTest();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class State { kScheduled, kRunning, kBuilt };
  struct Build {
    State state = State::kScheduled;
    TimePoint due;
    int thread_id = 0;  // of the background thread while it runs there, else 0
    MetadataImage image;
  };

  absl::StatusOr<MetadataImage> Run(const Digest& chain_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Work();

  const BuildFunction build_;
  const std::chrono::nanoseconds delay_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<Digest, Build> builds_ ABSL_GUARDED_BY(mutex_);
  std::thread worker_;
};

}  // namespace slacker
