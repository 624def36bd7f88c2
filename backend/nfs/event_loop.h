// One thread that waits for sockets and timers, and on which everything of an NFS backend but its
// callers runs: what lives there needs no locks.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker::nfs {

using Time = std::chrono::steady_clock::time_point;

// A socket that the loop watches. All calls come on the loop's thread.
class Source {
 public:
  virtual ~Source() = default;
  virtual int Fd() const = 0;
  // What poll(2) is to wait for.
  virtual short Events() const = 0;
  virtual void Ready(short events) = 0;
};

class EventLoop {
 public:
  // `name` (at most 15 bytes) is what ps and gdb show.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Start(const std::string& name);
  // Runs what was posted, then ends the thread; timers that are not due yet are dropped.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs `task` on the loop's thread, later: never within this call. Any thread.
  void Post(std::function<void()> task);
  bool IsCurrent() const { return std::this_thread::get_id() == thread_.get_id(); }

  // Loop thread only.
  void After(std::chrono::nanoseconds delay, std::function<void()> task);
  void Watch(Source* source) { sources_.push_back(source); }
  // Also from within the source's own Ready.
  void Unwatch(Source* source);

 private:
  explicit EventLoop(UniqueFd wake) : wake_(std::move(wake)) {}
  void Run();
  // False once the loop is to end and nothing is left to run.
  bool RunPosted();
  void RunTimers();
  void Poll();
  int PollTimeoutMs() const;

  const UniqueFd wake_;  // an eventfd
  Mutex mutex_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  // Of the loop's thread.
  std::vector<std::function<void()>> local_;  // posted by the thread itself
  std::vector<Source*> sources_;
  std::multimap<Time, std::function<void()>> timers_;

  std::thread thread_;
};

}  // namespace slacker::nfs
