#include "cmd/hellobench/site/compartment.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>
#include <thread>
#include <utility>

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr int kEndMs = 30000;
constexpr int kLifeFd = 3;

// Mounts of the compartment are nobody else's; /run is where daemons have sockets and locks that the
// machine's own have, too. The network has itself.
constexpr char kSetup[] =
    "mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs -o mode=0755 tmpfs /run "
    "&& "
    "ip link set lo up";

// The first process. Between clone and its end there are only system calls: this program has threads.
int Init(void* life) {
  (void)setsid();
  // Orphans come to us, and are reaped without a wait.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  (void)sigaction(SIGCHLD, &ignore, nullptr);
  // An end of another compartment's pipe, kept here, would keep that one alive.
  if (dup2(*static_cast<int*>(life), kLifeFd) < 0) _exit(1);
  (void)syscall(SYS_close_range, kLifeFd + 1, UINT_MAX, 0);
  (void)syscall(SYS_close_range, 0, kLifeFd - 1, 0);
  char byte = 0;
  while (read(kLifeFd, &byte, 1) < 0 && errno == EINTR) {
  }
  _exit(0);
}

}  // namespace

Compartment::Compartment(pid_t init, UniqueFd life, UniqueFd network)
    : init_(init), life_(std::move(life)), network_(std::move(network)) {}

Compartment::~Compartment() { (void)Destroy(); }

absl::StatusOr<std::unique_ptr<Compartment>> Compartment::Create(Programs& programs) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe2");
  UniqueFd theirs(ends[0]);
  UniqueFd ours(ends[1]);
  const auto stack = std::make_unique<std::array<char, kStackBytes>>();
  int life = theirs.get();
  const pid_t init = clone(Init, stack->data() + stack->size(),
                           CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | SIGCHLD, &life);
  if (init < 0) return ErrnoError(errno, "clone into new namespaces");
  const std::string network = "/proc/" + std::to_string(init) + "/ns/net";
  UniqueFd network_fd(open(network.c_str(), O_RDONLY | O_CLOEXEC));
  const int error = errno;
  const bool opened = network_fd.valid();
  std::unique_ptr<Compartment> made(new Compartment(init, std::move(ours), std::move(network_fd)));
  if (!opened) return ErrnoError(error, "open " + network);
  RETURN_IF_ERROR(programs.Run({.words = {"sh", "-c", kSetup}, .where = made->where()}).status());
  return made;
}

absl::Status Compartment::Enter(const std::function<void()>& body) const {
  int error = 0;
  std::thread([&] {
    if (setns(network_.get(), CLONE_NEWNET) != 0) {
      error = errno;
      return;
    }
    body();
  }).join();
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "enter a network namespace");
}

absl::Status Compartment::Destroy() {
  if (gone_) return absl::OkStatus();
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, init_, 0)));
  life_.Reset();
  pollfd event{pidfd.get(), POLLIN, 0};
  int ready = 0;
  while ((ready = poll(&event, 1, kEndMs)) < 0 && errno == EINTR) {
  }
  if (ready == 0) {
    return DeadlineExceeded("processes below " + std::to_string(init_) + " do not end");
  }
  while (waitpid(init_, nullptr, 0) < 0 && errno == EINTR) {
  }
  gone_ = true;
  return absl::OkStatus();
}

}  // namespace slacker::hellobench
