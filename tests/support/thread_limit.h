// A process that gets only so many more threads.
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace slacker::testing {

// While it lives, `left` more threads can be had, and after that pthread_create answers EAGAIN: a
// stack is so large that the address space has room for no more of them. One at a time; before
// other threads begin to start threads.
class ThreadLimit {
 public:
  explicit ThreadLimit(int left) {
    EXPECT_EQ(pthread_attr_init(&before_), 0);
    EXPECT_EQ(pthread_getattr_default_np(&before_), 0);
    EXPECT_EQ(getrlimit(RLIMIT_AS, &space_), 0);
    pthread_attr_t huge;
    EXPECT_EQ(pthread_attr_init(&huge), 0);
    EXPECT_EQ(pthread_attr_setstacksize(&huge, kStackBytes), 0);
    EXPECT_EQ(pthread_setattr_default_np(&huge), 0);
    (void)pthread_attr_destroy(&huge);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit limit{pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) +
                           static_cast<size_t>(left) * kStackBytes + kStackBytes / 2,
                       space_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  }
  ~ThreadLimit() {
    EXPECT_EQ(setrlimit(RLIMIT_AS, &space_), 0);
    EXPECT_EQ(pthread_setattr_default_np(&before_), 0);
    (void)pthread_attr_destroy(&before_);
  }
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  static constexpr size_t kStackBytes = size_t{1} << 30;
  pthread_attr_t before_{};
  rlimit space_{};
};

}  // namespace slacker::testing
