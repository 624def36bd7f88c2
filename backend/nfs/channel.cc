#include "backend/nfs/channel.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/base/status.h"

namespace slacker::nfs {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kDeadlineCheck{100};
constexpr std::chrono::milliseconds kAskAgainMin{20};
constexpr std::chrono::seconds kAskAgainMax{1};

std::chrono::nanoseconds BackOff(std::chrono::nanoseconds first, std::chrono::nanoseconds last,
                                 int times) {
  return std::min(last, first * (int64_t{1} << std::clamp(times, 0, 16)));
}

// The first address of `host` as digits, "" when there is none.
std::string AddressOf(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return "";
  char digits[NI_MAXHOST] = "";
  if (getnameinfo(found->ai_addr, found->ai_addrlen, digits, sizeof digits, nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    digits[0] = '\0';
  }
  freeaddrinfo(found);
  return digits;
}

}  // namespace

Channel::Channel(EventLoop* loop, ThreadPool* resolver, ChannelOptions options)
    : loop_(loop),
      resolver_(resolver),
      options_(std::move(options)),
      server_("NFS server " + options_.host + ":" + std::to_string(options_.port)),
      connections_(static_cast<size_t>(options_.connections)) {}

Channel::~Channel() {
  *alive_ = false;
  for (auto& connection : connections_) {
    if (connection != nullptr) (void)connection->TakeCalls();  // dropped, as the header says
  }
}

std::function<void()> Channel::IfAlive(std::function<void()> task) {
  return [alive = alive_, task = std::move(task)] {
    if (*alive) task();
  };
}

void Channel::Start(Call call) {
  call.started = steady_clock::now();
  queue_.push_back(std::make_unique<Call>(std::move(call)));
  WatchDeadlines();
  PumpSoon();
}

void Channel::Close() {
  closed_ = true;
  std::vector<std::unique_ptr<Call>> calls;
  for (auto& connection : connections_) {
    if (connection == nullptr) continue;
    for (auto& call : connection->TakeCalls()) calls.push_back(std::move(call));
    connection.reset();
  }
  for (auto& call : queue_) calls.push_back(std::move(call));
  queue_.clear();
  for (auto& call : calls) Fail(std::move(call), "the backend was closed");
}

void Channel::PumpSoon() {
  if (std::exchange(pump_pending_, true)) return;
  loop_->Post(IfAlive([this] {
    pump_pending_ = false;
    Pump();
  }));
}

void Channel::Pump() {
  if (closed_) {
    Close();
    return;
  }
  if (queue_.empty()) return;
  ConnectMissing();
  SendQueued();
}

void Channel::SendQueued() {
  while (!queue_.empty()) {
    Connection* const connection = LeastLoaded();
    if (connection == nullptr) break;
    std::unique_ptr<Call> call = std::move(queue_.front());
    queue_.pop_front();
    call->resent = call->resent || call->sent;
    call->sent = true;
    if (absl::Status status = connection->Send(&call); !status.ok()) {
      call->done(status, call->resent);
    }
  }
  for (const auto& connection : connections_) {
    if (connection != nullptr && connection->usable()) connection->Flush();
  }
}

Connection* Channel::LeastLoaded() const {
  Connection* best = nullptr;
  for (const auto& connection : connections_) {
    if (connection == nullptr || !connection->usable()) continue;
    if (connection->in_flight() >= kCallsPerConnection) continue;
    if (best == nullptr || connection->in_flight() < best->in_flight()) best = connection.get();
  }
  return best;
}

void Channel::ConnectMissing() {
  if (retry_pending_) return;
  if (resolving_ != Resolving::kDone) {
    Resolve();
    return;
  }
  for (auto& slot : connections_) {
    if (slot != nullptr) continue;
    auto connection = std::make_unique<Connection>(loop_, this);
    const absl::Status status =
        connection->Connect(address_, options_.port, options_.uid, options_.gid);
    if (!status.ok()) {
      RetryLater(Message(status));
      return;
    }
    slot = std::move(connection);
  }
}

void Channel::Resolve() {
  if (resolving_ == Resolving::kNow) return;
  resolving_ = Resolving::kNow;
  resolver_->Add([this, alive = alive_, loop = loop_, host = options_.host] {
    std::string address = AddressOf(host);
    loop->Post([this, alive, address = std::move(address)] {
      if (*alive) OnResolved(address);
    });
  });
}

void Channel::OnResolved(const std::string& address) {
  address_ = address;
  resolving_ = address.empty() ? Resolving::kNotYet : Resolving::kDone;
  if (address.empty()) {
    RetryLater("the host name is not known");
  } else {
    Pump();
  }
}

void Channel::RetryLater(const std::string& why) {
  last_error_ = why;
  if (std::exchange(retry_pending_, true)) return;
  loop_->After(BackOff(kRetryMin, kRetryMax, failures_++), IfAlive([this] {
                 retry_pending_ = false;
                 resolving_ = Resolving::kNotYet;  // the server may have moved
                 Pump();
               }));
}

void Channel::OnReceived() { last_received_ = steady_clock::now(); }

void Channel::OnAnswer(std::unique_ptr<Call> call, const absl::Status& status) {
  failures_ = 0;
  if (ErrnoOf(status) == EAGAIN) {
    AskAgainLater(std::move(call));
  } else {
    call->done(status, call->resent);
  }
  if (!queue_.empty()) PumpSoon();
}

void Channel::AskAgainLater(std::unique_ptr<Call> call) {
  const Time now = steady_clock::now();
  if (closed_ || now - call->started >= call->patience) {
    Fail(std::move(call), "the server is not ready (is it starting, or in its grace period?)");
    return;
  }
  call->sent = false;  // it was answered: nothing of it is under way
  ++waiting_;
  const auto delay = BackOff(kAskAgainMin, kAskAgainMax, call->waits++);
  // std::function wants what can be copied.
  auto shared = std::make_shared<std::unique_ptr<Call>>(std::move(call));
  loop_->After(delay, IfAlive([this, shared] {
                 --waiting_;
                 queue_.push_back(std::move(*shared));
                 Pump();
               }));
}

void Channel::OnBroken(Connection* connection, const std::string& why) {
  // Later: libnfs is still in its own code.
  const bool was_connected = connection->connected();
  loop_->Post(IfAlive([this, connection, was_connected, why] {
    if (!Drop(connection)) return;  // given up meanwhile
    last_error_ = why;
    // A connection that worked is made anew at once, if it is needed; RetryLater paces the rest.
    if (!was_connected || failures_ > 0) {
      RetryLater(why);
    } else {
      ++failures_;
    }
    Pump();
  }));
}

bool Channel::Drop(const Connection* connection) {
  for (auto& slot : connections_) {
    if (slot.get() != connection) continue;
    std::vector<std::unique_ptr<Call>> calls = slot->TakeCalls();
    slot.reset();
    for (auto& call : calls) queue_.push_front(std::move(call));
    return true;
  }
  return false;
}

void Channel::Fail(std::unique_ptr<Call> call, const std::string& why) {
  call->done(Unavailable(server_ + ": " + call->name + ": " + why), call->sent);
}

void Channel::WatchDeadlines() {
  if (std::exchange(deadlines_watched_, true)) return;
  loop_->After(kDeadlineCheck, IfAlive([this] {
                 deadlines_watched_ = false;
                 CheckDeadlines();
               }));
}

bool Channel::IsOverdue(const Call& call, Time now) const {
  return now - std::max(call.started, last_received_) >= call.patience ||
         now - call.started >= options_.longest_call;
}

void Channel::CheckDeadlines() {
  const Time now = steady_clock::now();
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection* const connection = connections_[i].get();
    if (connection == nullptr) continue;
    if (!connection->Any([&](const Call& call) { return IsOverdue(call, now); })) continue;
    (void)Drop(connection);  // it is there
  }
  std::deque<std::unique_ptr<Call>> kept;
  for (auto& call : std::exchange(queue_, {})) {
    if (IsOverdue(*call, now)) {
      Fail(std::move(call), "no answer" + (last_error_.empty() ? "" : " (" + last_error_ + ")"));
    } else {
      kept.push_back(std::move(call));
    }
  }
  for (auto& call : queue_) kept.push_back(std::move(call));  // begun by those that failed
  queue_ = std::move(kept);
  bool any = !queue_.empty() || waiting_ > 0;
  for (const auto& connection : connections_) {
    any = any || (connection != nullptr && connection->in_flight() > 0);
  }
  if (any) WatchDeadlines();
  Pump();
}

}  // namespace slacker::nfs
