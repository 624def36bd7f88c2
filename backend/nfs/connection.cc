#include "backend/nfs/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/nfs/libnfs.h"

namespace slacker::nfs {
namespace {

// A peer that does not acknowledge what we sent, or our probes, for so long is gone; a server that
// is merely slow does acknowledge.
constexpr int kPeerTimeoutMs = 8000;
constexpr int kProbeAfterSeconds = 10;
constexpr int kProbeEverySeconds = 3;
// Three SYNs, seven seconds.
constexpr int kSynRetries = 2;

void SetOption(int fd, int level, int option, int value) {
  // Each works on a TCP socket; without it a dead peer is found later.
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

// What libnfs says of a call that the server refused or answered with nonsense. Everything else
// that it reports as an error is the connection's end.
absl::Status Refusal(std::string_view message) {
  const std::string text = "the NFS server: " + std::string(message);
  if (message == "RPC Packet not accepted by the server") {
    return PermissionDenied(text + " (are the credentials allowed?)");
  }
  if (message == "Message rejected by server")
    return Internal("the NFS server's reply is malformed");
  if (message.substr(0, 16) == "Server responded") return Internal(text);
  return absl::OkStatus();
}

}  // namespace

Connection::~Connection() {
  Close();
  SLACKER_CHECK(calls_.empty(), "calls were taken before the connection goes");
}

absl::Status Connection::Connect(const std::string& address, uint16_t port, uint32_t uid,
                                 uint32_t gid) {
  rpc_ = rpc_init_context();
  SLACKER_CHECK(rpc_ != nullptr, "memory");
  rpc_set_uid(rpc_, static_cast<int>(uid));
  rpc_set_gid(rpc_, static_cast<int>(gid));
  if (rpc_connect_async(rpc_, address.c_str(), port, OnConnect, this) != 0) {
    const char* error = rpc_get_error(rpc_);
    return Unavailable(error != nullptr ? error : "cannot connect");
  }
  const int fd = rpc_get_fd(rpc_);
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, IPPROTO_TCP, TCP_SYNCNT, kSynRetries);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kPeerTimeoutMs);
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, kProbeAfterSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeEverySeconds);
  loop_->Watch(this);
  return absl::OkStatus();
}

void Connection::OnConnect(rpc_context* /*rpc*/, int status, void* data, void* cookie) {
  auto* self = static_cast<Connection*>(cookie);
  if (status == RPC_STATUS_SUCCESS) {
    self->connected_ = true;
    self->owner_->OnConnected();
  } else if (status == RPC_STATUS_ERROR && data != nullptr) {
    self->Break(static_cast<const char*>(data));
  }
}

absl::Status Connection::Send(std::unique_ptr<Call>* call) {
  auto* pending = new Pending{this, nullptr};
  if ((*call)->send(rpc_, OnReply, pending) != 0) {
    delete pending;
    return Internal(std::string("the NFS call ") + (*call)->name + " cannot be encoded");
  }
  pending->call = std::move(*call);
  calls_.insert(pending);
  return absl::OkStatus();
}

void Connection::Flush() {
  if (broken_ || rpc_ == nullptr || (Events() & POLLOUT) == 0) return;
  Ready(POLLOUT);
}

void Connection::OnReply(rpc_context* /*rpc*/, int status, void* data, void* cookie) {
  auto* pending = static_cast<Pending*>(cookie);
  pending->connection->Reply(pending, status, data);
}

void Connection::Reply(Pending* pending, int status, void* data) {
  absl::Status verdict;
  if (status == RPC_STATUS_SUCCESS) {
    const int error = pending->call->decode(data);
    if (error != 0) verdict = ErrnoError(error, std::string("NFS ") + pending->call->name);
  } else {
    if (status == RPC_STATUS_ERROR && data != nullptr) {
      verdict = Refusal(static_cast<const char*>(data));
    }
    if (verdict.ok()) return;  // the connection ended: TakeCalls hands it out
  }
  received_.Answered();
  std::unique_ptr<Call> call = std::move(pending->call);
  calls_.erase(pending);
  delete pending;
  owner_->OnAnswer(std::move(call), verdict);
}

bool Connection::Any(const std::function<bool(const Call&)>& matches) const {
  for (const Pending* pending : calls_) {
    if (matches(*pending->call)) return true;
  }
  return false;
}

std::vector<std::unique_ptr<Call>> Connection::TakeCalls() {
  Close();
  std::vector<std::unique_ptr<Call>> calls;
  for (Pending* pending : calls_) {
    calls.push_back(std::move(pending->call));
    delete pending;
  }
  calls_.clear();
  return calls;
}

void Connection::Close() {
  if (rpc_ == nullptr) return;
  loop_->Unwatch(this);
  // Its callbacks for the calls in flight leave them where they are.
  rpc_destroy_context(std::exchange(rpc_, nullptr));
}

void Connection::Break(const std::string& why) {
  if (std::exchange(broken_, true)) return;
  loop_->Unwatch(this);
  owner_->OnBroken(this, why);
}

int Connection::Fd() const { return rpc_get_fd(rpc_); }

short Connection::Events() const { return static_cast<short>(rpc_which_events(rpc_)); }

void Connection::Ready(short events) {
  const Receiving receiving(&received_);
  if (rpc_service(rpc_, events) == 0) {
    if ((events & POLLIN) != 0) owner_->OnReceived();
    return;
  }
  const char* error = rpc_get_error(rpc_);
  if (received_.exceeded()) error = "the server's reply does not end";
  Break(error != nullptr ? error : "the server closed the connection");
}

}  // namespace slacker::nfs
