#include "backend/nfs/event_loop.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "backend/base/start_thread.h"
#include "backend/base/status.h"

namespace slacker::nfs {

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Start(const std::string& name) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoError(errno, "eventfd");
  auto loop = std::unique_ptr<EventLoop>(new EventLoop(std::move(wake)));
  {
    // The lock has the thread see its own id in thread_.
    MutexLock lock(&loop->mutex_);
    ASSIGN_OR_RETURN(loop->thread_, StartThread([raw = loop.get()] { raw->Run(); }));
  }
  (void)pthread_setname_np(loop->thread_.native_handle(), name.c_str());
  return loop;
}

EventLoop::~EventLoop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Post([] {});
  if (thread_.joinable()) thread_.join();
}

void EventLoop::Post(std::function<void()> task) {
  if (IsCurrent()) {
    local_.push_back(std::move(task));
    return;
  }
  bool first = false;
  {
    MutexLock lock(&mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  // Who finds tasks there knows that the loop has been woken for them. The counter cannot overflow.
  if (first) (void)eventfd_write(wake_.get(), 1);
}

void EventLoop::After(std::chrono::nanoseconds delay, std::function<void()> task) {
  timers_.emplace(std::chrono::steady_clock::now() + delay, std::move(task));
}

void EventLoop::Unwatch(Source* source) { std::erase(sources_, source); }

void EventLoop::Run() {
  while (RunPosted()) {
    Poll();
    RunTimers();
  }
}

bool EventLoop::RunPosted() {
  bool stopping = false;
  do {
    std::vector<std::function<void()>> tasks = std::exchange(local_, {});
    {
      MutexLock lock(&mutex_);
      stopping = stopping_;
      std::move(posted_.begin(), posted_.end(), std::back_inserter(tasks));
      posted_.clear();
    }
    for (auto& task : tasks) task();
  } while (!local_.empty());
  return !stopping;
}

int EventLoop::PollTimeoutMs() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first - std::chrono::steady_clock::now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<int64_t>(ms, 0, 60'000));
}

void EventLoop::Poll() {
  const std::vector<Source*> sources = sources_;
  std::vector<pollfd> fds;
  fds.reserve(sources.size() + 1);
  fds.push_back({wake_.get(), POLLIN, 0});
  for (const Source* source : sources) fds.push_back({source->Fd(), source->Events(), 0});
  if (poll(fds.data(), fds.size(), PollTimeoutMs()) <= 0) return;
  if (fds[0].revents != 0) {
    eventfd_t count = 0;
    (void)eventfd_read(wake_.get(), &count);
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    if (fds[i + 1].revents == 0) continue;
    // An earlier one may have ended it.
    if (std::find(sources_.begin(), sources_.end(), sources[i]) == sources_.end()) continue;
    sources[i]->Ready(fds[i + 1].revents);
  }
}

void EventLoop::RunTimers() {
  const Time now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    auto timer = timers_.extract(timers_.begin());
    timer.mapped()();
  }
}

}  // namespace slacker::nfs
