#include "cmd/hellobench/site/delay_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <list>
#include <thread>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "cmd/hellobench/site/compartment.h"
#include "cmd/hellobench/site/delay_line.h"

namespace slacker::hellobench {
namespace {

using Clock = std::chrono::steady_clock;

// Beyond what is on the way: what a reader that is slow for a moment leaves lying here.
constexpr size_t kSlackBytes = 1 << 20;
constexpr int kBacklog = 128;

absl::StatusOr<sockaddr_in> Address(const std::string& host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return InvalidArgument(host + ": is no IPv4 address");
  }
  return address;
}

const sockaddr* Plain(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd made(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!made.valid()) return ErrnoError(errno, "socket");
  const int on = 1;
  if (setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return ErrnoError(errno, "setsockopt SO_REUSEADDR");
  }
  return made;
}

absl::StatusOr<UniqueFd> Listen(const sockaddr_in& address) {
  ASSIGN_OR_RETURN(UniqueFd listening, NewSocket());
  if (bind(listening.get(), Plain(address), sizeof address) != 0 ||
      listen(listening.get(), kBacklog) != 0) {
    return ErrnoError(errno, "listen on port " + std::to_string(ntohs(address.sin_port)));
  }
  return listening;
}

// Its own packets, however small: nothing else is to add to the delay.
void SendAtOnce(int socket) {
  const int on = 1;
  (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// The other side of whom it is closed for learns that there is nobody any more.
void CloseByReset(UniqueFd& socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.Reset();
}

struct Connection {
  Connection(UniqueFd from, UniqueFd to, std::chrono::microseconds delay, size_t most)
      : client(std::move(from)),
        server(std::move(to)),
        up(client.get(), server.get(), delay, most),
        down(server.get(), client.get(), delay, most) {}

  UniqueFd client, server;
  DelayLine up, down;
  bool over = false;
};

class Loop final : public DelayRelay {
 public:
  explicit Loop(RelayOptions options) : options_(std::move(options)) {
    const double on_the_way = static_cast<double>(options_.bytes_a_second) *
                              std::chrono::duration<double>(options_.delay).count();
    most_ = kSlackBytes + 2 * static_cast<size_t>(on_the_way);
  }

  // On the relay's network.
  absl::Status Open() {
    stop_.Reset(eventfd(0, EFD_CLOEXEC));
    if (!stop_.valid()) return ErrnoError(errno, "eventfd");
    for (const uint16_t port : options_.ports) {
      ASSIGN_OR_RETURN(const sockaddr_in here, Address(options_.listen_address, port));
      ASSIGN_OR_RETURN(const sockaddr_in there, Address(options_.server_address, port));
      ASSIGN_OR_RETURN(UniqueFd listening, Listen(here));
      doors_.push_back({std::move(listening), there});
    }
    return absl::OkStatus();
  }

  // Sockets are made here, so the thread has to be on the node's network, and stay there.
  void Begin(const Compartment* node) {
    thread_ = std::thread([this, node] { (void)On(node, [this] { Serve(); }); });
  }

  static absl::Status On(const Compartment* node, const std::function<void()>& body) {
    if (node != nullptr) return node->Enter(body);
    body();
    return absl::OkStatus();
  }

  ~Loop() override {
    const uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

 private:
  struct Door {
    UniqueFd listening;
    sockaddr_in server;
  };

  void Serve();
  void Accept(const Door& door);
  std::vector<pollfd> Events(Clock::time_point now) const;
  timespec UntilDue(Clock::time_point now, bool* any) const;
  void Move(Connection& connection, const pollfd& client, const pollfd& server);

  const RelayOptions options_;
  size_t most_ = 0;
  UniqueFd stop_;
  std::vector<Door> doors_;
  std::list<Connection> connections_;
  std::thread thread_;
};

void Loop::Accept(const Door& door) {
  UniqueFd client(accept4(door.listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!client.valid()) return;
  absl::StatusOr<UniqueFd> server = NewSocket();
  if (!server.ok()) return;
  // It was accepted before anybody knew that the server refuses it.
  if (connect(server->get(), Plain(door.server), sizeof door.server) != 0 && errno != EINPROGRESS) {
    return CloseByReset(client);
  }
  SendAtOnce(client.get());
  SendAtOnce(server->get());
  connections_.emplace_back(std::move(client), *std::move(server), options_.delay, most_);
}

// What to wait for: the stop, the doors, and two for each connection.
std::vector<pollfd> Loop::Events(Clock::time_point now) const {
  std::vector<pollfd> events = {{stop_.get(), POLLIN, 0}};
  for (const Door& door : doors_) events.push_back({door.listening.get(), POLLIN, 0});
  const auto wanted = [&](const DelayLine& reads, const DelayLine& writes) {
    return static_cast<short>((reads.WantsToRead() ? POLLIN : 0) |
                              (writes.IsDue(now) ? POLLOUT : 0));
  };
  for (const Connection& one : connections_) {
    const short client = wanted(one.up, one.down);
    const short server = wanted(one.down, one.up);
    // A socket that has nothing to do would be reported as broken again and again.
    events.push_back({client == 0 ? -1 : one.client.get(), client, 0});
    events.push_back({server == 0 ? -1 : one.server.get(), server, 0});
  }
  return events;
}

timespec Loop::UntilDue(Clock::time_point now, bool* any) const {
  auto next = Clock::time_point::max();
  for (const Connection& one : connections_) {
    for (const DelayLine* line : {&one.up, &one.down}) {
      if (!line->IsDue(now)) next = std::min(next, line->Due());
    }
  }
  *any = next != Clock::time_point::max();
  if (!*any) return {};
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(next - now).count();
  constexpr int64_t kSecond = 1000000000;
  return {static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
}

void Loop::Move(Connection& connection, const pollfd& client, const pollfd& server) {
  const Clock::time_point now = Clock::now();
  const auto readable = [](const pollfd& event) {
    return (event.events & POLLIN) != 0 && (event.revents & (POLLIN | POLLHUP | POLLERR)) != 0;
  };
  DelayLine &up = connection.up, &down = connection.down;
  using State = DelayLine::State;
  if (readable(client)) up.Read(now);
  if (readable(server)) down.Read(now);
  up.Write(now);
  down.Write(now);
  // Who takes nothing more was reset, and that may have been told to who wrote to it alone.
  if (up.state() == State::kRefused) down.Reset(now);
  if (down.state() == State::kRefused) up.Reset(now);
  if (up.state() == State::kReset) CloseByReset(connection.server);
  if (down.state() == State::kReset) CloseByReset(connection.client);
  connection.over = up.state() == State::kReset || down.state() == State::kReset ||
                    (up.state() == State::kEnded && down.state() == State::kEnded);
}

void Loop::Serve() {
  while (true) {
    const Clock::time_point now = Clock::now();
    std::vector<pollfd> events = Events(now);
    bool any = false;
    const timespec left = UntilDue(now, &any);
    if (ppoll(events.data(), events.size(), any ? &left : nullptr, nullptr) < 0 && errno != EINTR) {
      return;
    }
    if (events[0].revents != 0) return;
    size_t at = 1 + doors_.size();
    for (Connection& one : connections_) {
      Move(one, events[at], events[at + 1]);
      at += 2;
    }
    std::erase_if(connections_, [](const Connection& one) { return one.over; });
    for (size_t door = 0; door < doors_.size(); ++door) {
      if (events[1 + door].revents != 0) Accept(doors_[door]);
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<DelayRelay>> DelayRelay::Start(const Compartment* node,
                                                              const RelayOptions& options) {
  auto loop = std::make_unique<Loop>(options);
  absl::Status opened;
  RETURN_IF_ERROR(Loop::On(node, [&] { opened = loop->Open(); }));
  RETURN_IF_ERROR(opened);
  loop->Begin(node);
  return loop;
}

}  // namespace slacker::hellobench
