#include "snapshotter/attach/helper_client.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <utility>

#include "backend/base/start_thread.h"
#include "backend/base/status.h"
#include "snapshotter/attach/attach_helper.h"

namespace slacker::attach {
namespace {

constexpr char kKeptName[] = "helper";

void Reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

struct SocketPair {
  UniqueFd ours, theirs;
};

// The other end has a number that is none of those on which the program expects something: on its
// own number dup2 would keep the close-on-exec flag.
absl::StatusOr<SocketPair> MakeSocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  SocketPair pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  pair.theirs.Reset(fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, kHelperSwitch + 1));
  if (!pair.theirs.valid()) return ErrnoError(errno, "dup");
  return pair;
}

absl::Status Spawn(std::string program, std::string lock_path, int socket, int end_switch,
                   pid_t* pid) {
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return ResourceExhausted("posix_spawn: memory");
  std::string flag = "--lock";
  char* const arguments[] = {program.data(), flag.data(), lock_path.data(), nullptr};
  int error = posix_spawn_file_actions_adddup2(&actions, socket, kHelperSocket);
  if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, end_switch, kHelperSwitch);
  // A child that the kernel holds outlives slackerd: whoever reads slackerd's output is not to wait
  // for it.
  if (error == 0) error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (error == 0) error = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  if (error == 0) {
    error = posix_spawn(pid, program.c_str(), &actions, nullptr, arguments, environ);
  }
  (void)posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return absl::OkStatus();
  return Unavailable("start " + program + ": " + Message(ErrnoError(error, "posix_spawn")));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HelperClient>> HelperClient::Open(const std::string& program,
                                                                 const std::string& lock_path,
                                                                 KeeperClient* keeper) {
  // NOT_FOUND: there was none.
  if (const absl::StatusOr<UniqueFd> previous = keeper->Get(kKeptName); previous.ok()) {
    (void)shutdown(previous->get(), SHUT_RDWR);  // fails only where nobody is at the other end
  }
  std::unique_ptr<HelperClient> client(new HelperClient(program, lock_path, keeper));
  MutexLock lock(&client->mutex_);
  RETURN_IF_ERROR(client->Start());
  return client;
}

HelperClient::~HelperClient() {
  pid_t pid = 0;
  {
    MutexLock lock(&mutex_);
    if (socket_.valid()) (void)shutdown(socket_.get(), SHUT_RDWR);  // the receiver sees the end
    pid = pid_;
  }
  if (receiver_.joinable()) receiver_.join();
  if (pid > 0) Reap(pid);
}

absl::Status HelperClient::Start() {
  if (receiver_.joinable())
    receiver_.join();  // has left its last locked section: running_ is false
  if (pid_ > 0) Reap(std::exchange(pid_, 0));
  ASSIGN_OR_RETURN(SocketPair requests, MakeSocketPair());
  ASSIGN_OR_RETURN(SocketPair end_switch, MakeSocketPair());
  // Before there is a helper, so that none runs that a successor could not end.
  RETURN_IF_ERROR(keeper_->Put(kKeptName, end_switch.ours.get()));
  RETURN_IF_ERROR(
      Spawn(program_, lock_path_, requests.theirs.get(), end_switch.theirs.get(), &pid_));
  auto receiver = StartThread([this, socket = requests.ours.get()] { Receive(socket); });
  if (!receiver.ok()) {
    // Nobody would hear its answers; it ends with our end of the socket.
    requests.ours.Reset();
    Reap(std::exchange(pid_, 0));
    return Unavailable("the attach helper: " + Message(receiver.status()));
  }
  receiver_ = *std::move(receiver);
  socket_ = std::move(requests.ours);
  switch_ = std::move(end_switch.ours);
  running_ = true;
  return absl::OkStatus();
}

absl::Status HelperClient::Call(Request request) {
  if (request.tree.blobs.size() > kMaxBlobs) return InvalidArgument("too many blobs in one tree");
  MutexLock lock(&mutex_);
  Pending pending;
  Ask(request, &pending);
  if (!pending.orphaned) return pending.status;
  pending = {};
  Ask(request, &pending);
  return pending.status;
}

void HelperClient::Tell(Request request) {
  MutexLock lock(&mutex_);
  if (!running_) return;  // whoever waits for something has it started
  request.id = next_id_++;
  const std::string packet = Encode(request);
  // Full, or just ended: it was a hint.
  (void)send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void HelperClient::Ask(Request& request, Pending* pending) {
  if (!running_) {
    if (absl::Status started = Start(); !started.ok()) {
      pending->status = std::move(started);
      return;
    }
  }
  request.id = next_id_++;
  const std::string packet = Encode(request);
  if (send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) {
    const int error = errno;
    // It ended a moment ago, and the receiver does not know yet.
    pending->orphaned = error == EPIPE || error == ECONNRESET;
    while (pending->orphaned && running_) answered_.Wait(&mutex_);
    pending->status = Unavailable(Message(ErrnoError(error, "send to the attach helper")));
    return;
  }
  pending_[request.id] = pending;
  while (!pending->done) answered_.Wait(&mutex_);
}

void HelperClient::Receive(int socket) {
  std::string packet(kMaxPacketBytes, '\0');
  for (;;) {
    const ssize_t size = recv(socket, packet.data(), packet.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    absl::StatusOr<Answer> answer =
        DecodeAnswer(std::string_view(packet).substr(0, static_cast<size_t>(size)));
    if (!answer.ok()) continue;
    MutexLock lock(&mutex_);
    const auto found = pending_.find(answer->id);
    if (found == pending_.end()) continue;
    *found->second = {true, false, std::move(answer->status)};
    pending_.erase(found);
    answered_.SignalAll();
  }
  MutexLock lock(&mutex_);
  for (const auto& [id, waiting] : pending_) {
    *waiting = {true, true, Unavailable("the attach helper ended")};
  }
  pending_.clear();
  running_ = false;
  answered_.SignalAll();
}

}  // namespace slacker::attach
