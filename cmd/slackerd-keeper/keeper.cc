#include "cmd/slackerd-keeper/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "backend/base/process_state.h"
#include "snapshotter/keeper/packet.h"

namespace slacker::keeper {
namespace {

constexpr size_t kMaxClients = 64;

// Of everything that a keeper hands over. Cannot fail: these are open.
void SetCloseOnExec(const KeeperState& state, bool close) {
  const int flags = close ? FD_CLOEXEC : 0;
  for (const int fd : {state.listener, state.lock}) (void)fcntl(fd, F_SETFD, flags);
  for (const KeeperState::Client& client : state.clients) (void)fcntl(client.fd, F_SETFD, flags);
  for (const KeeperState::Kept& kept : state.kept) (void)fcntl(kept.fd, F_SETFD, flags);
}

}  // namespace

std::chrono::milliseconds OwnerDeadline::Left(TimePoint now) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(unserved_since_ + deadline_ - now);
  return std::max(left, std::chrono::milliseconds::zero());
}

void OwnerDeadline::Save(KeeperState* state) const {
  const auto nanoseconds = [](TimePoint time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  };
  state->deadline_seconds = deadline_.count();
  state->unserved_since_ns = nanoseconds(unserved_since_);
  state->owned_since_ns = nanoseconds(owned_since_);
}

OwnerDeadline OwnerDeadline::Restore(const KeeperState& state) {
  OwnerDeadline deadline(std::chrono::seconds(state.deadline_seconds),
                         TimePoint(std::chrono::nanoseconds(state.unserved_since_ns)));
  deadline.owned_since_ = TimePoint(std::chrono::nanoseconds(state.owned_since_ns));
  return deadline;
}

Keeper::Keeper(UniqueFd listener, UniqueFd lock, std::string socket_path,
               std::chrono::seconds deadline, DescriptorStore store, Kept kept)
    : listener_(std::move(listener)),
      lock_(std::move(lock)),
      socket_path_(std::move(socket_path)),
      deadline_(deadline, std::chrono::steady_clock::now()),
      store_(std::move(store)),
      kept_(std::move(kept)) {}

Keeper::Keeper(const KeeperState& state, std::string socket_path, DescriptorStore store)
    : listener_(state.listener),
      lock_(state.lock),
      socket_path_(std::move(socket_path)),
      deadline_(OwnerDeadline::Restore(state)),
      store_(std::move(store)) {
  for (const KeeperState::Client& client : state.clients) {
    clients_.push_back({UniqueFd(client.fd), client.pid});
    if (client.owner) owner_ = std::prev(clients_.end());
    // Who does not take its reply has gone, which the loop will see.
    if (client.asked) {
      Reply done;
      done.version = VersionOf(Verb::kReplace);
      (void)SendPacket(client.fd, done, -1);
    }
  }
  for (const KeeperState::Kept& kept : state.kept) kept_[kept.name].Reset(kept.fd);
  SetCloseOnExec(state, true);
}

int Keeper::MillisecondsLeft() const {
  if (owner_ != clients_.end()) return -1;
  return static_cast<int>(deadline_.Left(std::chrono::steady_clock::now()).count());
}

int Keeper::Run() {
  const int status = Loop();
  // Nobody starts what ended by itself again; what failed is started.
  if (status == 0) (void)!ftruncate(lock_.get(), 0);
  (void)unlink(socket_path_.c_str());  // while the lock is held: it cannot be another's
  return status;
}

int Keeper::Loop() {
  while (!ending_) {
    std::vector<pollfd> waits{{listener_.get(), POLLIN, 0}};
    std::vector<Clients::iterator> order;
    for (auto client = clients_.begin(); client != clients_.end(); ++client) {
      waits.push_back({client->socket.get(), POLLIN, 0});
      order.push_back(client);
    }
    const int ready = poll(waits.data(), waits.size(), MillisecondsLeft());
    if (ready < 0 && errno != EINTR) return 1;
    if (ready == 0 && MillisecondsLeft() == 0) {
      DropAll();  // which aborts the connection
      return 0;
    }
    if (ready <= 0) continue;
    for (size_t i = 0; i < order.size(); ++i) {
      if (waits[i + 1].revents != 0 && !Serve(order[i])) {
        // Others in `order` may have been disconnected by kAcquire: look again.
        Disconnect(order[i]);
        break;
      }
    }
    if (waits[0].revents != 0) Accept();
  }
  return 0;
}

void Keeper::Accept() {
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.valid() || clients_.size() >= kMaxClients) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  if (peer.uid != geteuid()) return;
  clients_.push_back({std::move(socket), peer.pid});
}

void Keeper::Disconnect(Clients::iterator client) {
  if (client == owner_) {
    owner_ = clients_.end();
    deadline_.OwnerWent(std::chrono::steady_clock::now());
  }
  clients_.erase(client);
}

bool Keeper::Serve(Clients::iterator client) {
  Request request;
  UniqueFd fd;
  if (ReceivePacket(client->socket.get(), &request, &fd) != 0) return false;
  request.name[kNameBytes - 1] = '\0';
  int give = -1;
  const Reply reply = Answer(client, request, std::move(fd), &give);
  return SendPacket(client->socket.get(), reply, give) == 0;
}

Reply Keeper::Answer(Clients::iterator client, const Request& request, UniqueFd fd, int* give) {
  Reply reply;
  const auto fail = [&reply](int error) {
    reply.error = error;
    return reply;
  };
  if (request.version == 0 || request.version > kVersion) {
    reply.version = kVersion;
    return fail(EPROTO);
  }
  reply.version = request.version;
  if (request.verb == Verb::kAcquire) return Acquire(client);
  if (client != owner_) return fail(EPERM);
  switch (request.verb) {
    case Verb::kPut:
      return fail(Put(request.name, std::move(fd)));
    case Verb::kGet:
      if (const auto kept = kept_.find(request.name); kept != kept_.end()) {
        *give = kept->second.get();
        return reply;
      }
      return fail(ENOENT);
    case Verb::kDrop:
      Drop(request.name);
      return reply;
    case Verb::kList:
      for (const auto& [name, unused] : kept_) {
        std::memcpy(reply.names + reply.names_bytes, name.c_str(), name.size() + 1);
        reply.names_bytes += static_cast<uint32_t>(name.size() + 1);
      }
      return reply;
    case Verb::kBye:
      DropAll();
      ending_ = true;
      return reply;
    case Verb::kReplace:
      return fail(Replace(client, fd));
    case Verb::kServing:
      deadline_.OwnerServes(std::chrono::steady_clock::now());
      return reply;
    case Verb::kAcquire:
      break;
  }
  return fail(ENOSYS);
}

int Keeper::Put(const std::string& name, UniqueFd fd) {
  if (!fd.valid()) return EBADF;
  if (!IsUsableName(name)) return EINVAL;
  if (kept_.count(name) == 0 && kept_.size() >= kMaxDescriptors) return ENOSPC;
  Drop(name);
  store_.Keep(name, fd.get());
  kept_[name] = std::move(fd);
  return 0;
}

void Keeper::Drop(const std::string& name) {
  if (kept_.erase(name) != 0) store_.Forget(name);
}

void Keeper::DropAll() {
  while (!kept_.empty()) Drop(std::string(kept_.begin()->first));
}

// Does not come back when it succeeds: the reply is the other program's.
int Keeper::Replace(Clients::iterator client, const UniqueFd& program) {
  struct stat wanted, running;
  if (fstat(program.get(), &wanted) != 0) return errno;
  if (stat("/proc/self/exe", &running) != 0) return errno;
  if (wanted.st_dev == running.st_dev && wanted.st_ino == running.st_ino) return 0;
  KeeperState state;
  state.listener = listener_.get();
  state.lock = lock_.get();
  deadline_.Save(&state);
  for (auto each = clients_.begin(); each != clients_.end(); ++each) {
    state.clients.push_back({each->socket.get(), each->pid, each == owner_, each == client});
  }
  for (const auto& [name, fd] : kept_) state.kept.push_back({fd.get(), name});
  const UniqueFd memory(memfd_create("slacker-keeper-state", MFD_CLOEXEC));
  const std::string text = EncodeState(state);
  if (!memory.valid()) return errno;
  if (write(memory.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return EIO;
  SetCloseOnExec(state, false);
  (void)fcntl(memory.get(), F_SETFD, 0);  // a number that is open
  std::string name = "slackerd-keeper", flags[] = {"--socket", "--state"}, path = socket_path_;
  std::string number = std::to_string(memory.get());
  char* const arguments[] = {name.data(),     flags[0].data(), path.data(),
                             flags[1].data(), number.data(),   nullptr};
  (void)fexecve(program.get(), arguments, environ);
  const int error = errno;
  SetCloseOnExec(state, true);
  return error;
}

Reply Keeper::Acquire(Clients::iterator client) {
  Reply reply;
  if (owner_ != clients_.end() && owner_ != client) {
    reply.pid = owner_->pid;
    // A connection that was closed and not yet noticed counts as gone too.
    pollfd closed{owner_->socket.get(), POLLRDHUP, 0};
    const bool gone = poll(&closed, 1, 0) == 1;
    if (!gone && !IsBeyondActing(owner_->pid)) {
      reply.error = EBUSY;
      return reply;
    }
    if (kill(owner_->pid, 0) != 0) reply.pid = 0;
    // Whatever it still has in the socket is not to be obeyed any more. The poll above may have
    // listed this client: shut down, it reads as ended and is disconnected in its turn.
    (void)shutdown(owner_->socket.get(), SHUT_RDWR);
    deadline_.OwnerWent(std::chrono::steady_clock::now());
  }
  if (owner_ != client) deadline_.OwnerCame(std::chrono::steady_clock::now());
  owner_ = client;
  return reply;
}

}  // namespace slacker::keeper
