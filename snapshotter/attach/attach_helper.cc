#include "snapshotter/attach/attach_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <map>
#include <string_view>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/attach/attach_protocol.h"
#include "snapshotter/attach/tree_operations.h"

namespace slacker::attach {
namespace {

bool SendAnswer(int socket, uint64_t id, const absl::Status& status) {
  const std::string packet = Encode(Answer{id, status});
  return send(socket, packet.data(), packet.size(), MSG_NOSIGNAL) >= 0;
}

[[noreturn]] void RunChild(int socket, int lock, pid_t helper, const Request& request) {
  // The helper may have ended before the first line took effect.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != helper) _exit(1);
  if (request.verb == Verb::kReadInAdvance) {
    // What it reads can make it wait for slackerd's successor, who is not to wait for it: it has no part
    // in the lock, whose description others have still, nor in the socket, whose end tells of the helper's.
    (void)close(lock);
    (void)close(socket);
    (void)Perform(request);  // a hint
    _exit(0);
  }
  // Shared with the helper and its other children: only an earlier generation makes this wait.
  while (flock(lock, LOCK_EX) != 0) {
    if (errno != EINTR) _exit(1);
  }
  _exit(SendAnswer(socket, request.id, Perform(request)) ? 0 : 1);
}

// Children by PID, with the request that each works on.
using Children = std::map<pid_t, uint64_t>;

void StartChild(int socket, int lock, std::string_view packet, Children* children) {
  const absl::StatusOr<Request> request = DecodeRequest(packet);
  if (!request.ok()) return;
  const pid_t helper = getpid();
  const pid_t child = fork();
  if (child == 0) RunChild(socket, lock, helper, *request);
  if (child > 0) {
    (*children)[child] = request->id;
  } else {
    (void)SendAnswer(socket, request->id, Unavailable("attach helper: cannot fork"));
  }
}

void ReapChildren(int socket, Children* children) {
  int status = 0;
  for (pid_t child = 0; (child = waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found = children->find(child);
    if (found == children->end()) continue;
    if (status != 0) {
      (void)SendAnswer(
          socket, found->second,
          Unavailable("attach helper: a child ended with wait status " + std::to_string(status)));
    }
    children->erase(found);
  }
}

}  // namespace

int RunHelper(int socket, int end_switch, const std::string& lock_path) {
  const UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &child_signal, nullptr) != 0) return 1;
  const UniqueFd signals(signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!lock.valid() || !signals.valid()) return 1;
  Children children;
  std::string packet(kMaxPacketBytes, '\0');
  for (;;) {
    std::array<pollfd, 3> waits{
        {{socket, POLLIN, 0}, {signals.get(), POLLIN, 0}, {end_switch, POLLIN, 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return 1;
    if (waits[2].revents != 0) return 0;
    if (waits[1].revents != 0) {
      signalfd_siginfo information;
      (void)!read(signals.get(), &information, sizeof information);  // only a reason to look
      ReapChildren(socket, &children);
    }
    if (waits[0].revents == 0) continue;
    const ssize_t size = recv(socket, packet.data(), packet.size(), 0);
    if (size == 0 || (size < 0 && errno != EINTR)) return 0;
    if (size > 0) {
      StartChild(socket, lock.get(), std::string_view(packet).substr(0, static_cast<size_t>(size)),
                 &children);
    }
  }
}

}  // namespace slacker::attach
