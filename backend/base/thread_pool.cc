#include "backend/base/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/start_thread.h"

namespace slacker {

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Make(std::string name, int threads) {
  std::unique_ptr<ThreadPool> pool(new ThreadPool);
  RETURN_IF_ERROR(pool->Start(std::move(name), threads));
  return pool;
}

ThreadPool::ThreadPool(std::string name, int threads) {
  const absl::Status started = Start(std::move(name), threads);
  SLACKER_CHECK(started.ok(), "a process that starts has threads");
}

absl::Status ThreadPool::Start(std::string name, int threads) {
  name.resize(std::min<size_t>(name.size(), 15));
  for (int i = 0; i < threads; ++i) {
    ASSIGN_OR_RETURN(std::thread thread, StartThread([this, name] {
                       (void)pthread_setname_np(pthread_self(), name.c_str());  // only a label
                       Work();
                     }));
    threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Add(std::function<void()> task) {
  MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
  changed_.Signal();
}

void ThreadPool::Work() {
  for (;;) {
    std::function<void()> task;
    {
      MutexLock lock(&mutex_);
      while (tasks_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace slacker
