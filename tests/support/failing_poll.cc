#include "tests/support/failing_poll.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace {

std::atomic<const char*> failing_thread{nullptr};
std::atomic<int> failing_error{0};
std::atomic<int> failures_left{0};

bool Fails() {
  const char* const thread = failing_thread;
  std::array<char, 16> name{};
  if (thread == nullptr || failures_left <= 0 ||
      pthread_getname_np(pthread_self(), name.data(), name.size()) != 0 ||
      std::strcmp(name.data(), thread) != 0) {
    return false;
  }
  return failures_left-- > 0;
}

}  // namespace

// In place of libc's.
extern "C" int poll(pollfd* waits, nfds_t count, int timeout) {
  if (Fails()) {
    errno = failing_error;
    return -1;
  }
  using Poll = int (*)(pollfd*, nfds_t, int);
  static const auto real = reinterpret_cast<Poll>(dlsym(RTLD_NEXT, "poll"));
  return real(waits, count, timeout);
}

namespace slacker::testing {

void FailPoll(const char* thread, int error, int times) {
  failures_left = 0;
  failing_thread = thread;
  failing_error = error;
  failures_left = times;
}

int PollFailuresLeft() { return failures_left; }

}  // namespace slacker::testing
