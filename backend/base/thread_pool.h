// A fixed number of threads that run tasks in the order in which they were added. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"

namespace slacker {

class ThreadPool {
 public:
  // `name` (at most 15 bytes) is what ps and gdb show. RESOURCE_EXHAUSTED: the node does not have so
  // many threads left; those that were started have ended.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Make(std::string name, int threads);
  // For the start of a process, which ends where there are not so many threads.
  ThreadPool(std::string name, int threads);
  // Runs what was added, then ends the threads.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void Add(std::function<void()> task);

 private:
  ThreadPool() = default;
  absl::Status Start(std::string name, int threads);
  void Work();

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace slacker
