// Has the kernel refuse ioctls of a thread and of the programs that it starts (seccomp), as a machine
// does that is out of something. One is watched by a thread of its own, which decides each time.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::testing {

// Refuses nothing until it is told to. Thread-safe but for FilterThisThread. Outlives whoever it
// watches: their calls hang otherwise.
class RefusedIoctls {
 public:
  RefusedIoctls(std::vector<uint32_t> requests, int error)
      : requests_(std::move(requests)), error_(error) {}
  ~RefusedIoctls() {
    stop_ = true;
    if (watcher_.joinable()) watcher_.join();
  }
  RefusedIoctls(const RefusedIoctls&) = delete;
  RefusedIoctls& operator=(const RefusedIoctls&) = delete;

  // From now on the requests of this thread, and of what it starts, are watched; once.
  absl::Status FilterThisThread() {
    std::vector<sock_filter> program = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
    };
    for (const uint32_t request : requests_) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, request, 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoError(errno, "no_new_privs");
    listener_.Reset(static_cast<int>(
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter)));
    if (!listener_.valid()) return ErrnoError(errno, "seccomp");
    watcher_ = std::thread([this] { Watch(); });
    return absl::OkStatus();
  }

  // Lets `allowed` more pass, and refuses `count` after those.
  void RefuseAfter(int allowed, int count = 1) {
    refused_ = 0;
    count_ = count;
    allowed_ = allowed;
  }
  int refused() const { return refused_; }

 private:
  void Watch() {
    while (!stop_) {
      pollfd event{listener_.get(), POLLIN, 0};
      if (poll(&event, 1, 20) <= 0 || (event.revents & POLLIN) == 0) {
        if ((event.revents & POLLHUP) != 0) return;  // all that were watched have ended
        continue;
      }
      seccomp_notif call{};
      if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;  // it has died
      seccomp_notif_resp answer{};
      answer.id = call.id;
      if (IsRefused()) {
        answer.error = -error_;
      } else {
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      }
      (void)ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);  // who asked may have died
    }
  }
  bool IsRefused() {
    if (count_ == 0 || allowed_-- > 0) return false;
    --count_;
    ++refused_;
    allowed_ = 0;
    return true;
  }

  const std::vector<uint32_t> requests_;
  const int error_;
  std::atomic<int> allowed_ = 0, count_ = 0, refused_ = 0;
  std::atomic<bool> stop_ = false;
  UniqueFd listener_;
  std::thread watcher_;
};

}  // namespace slacker::testing
