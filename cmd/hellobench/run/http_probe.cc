#include "cmd/hellobench/run/http_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

constexpr std::string_view kBegin = "HTTP/";

absl::StatusOr<UniqueFd> Socket(int flags) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd.valid()) return ErrnoError(errno, "socket");
  return fd;
}

int ConnectTo(const UniqueFd& fd, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

absl::StatusOr<bool> Listens(uint16_t port) {
  ASSIGN_OR_RETURN(const UniqueFd fd, Socket(0));
  if (ConnectTo(fd, port) == 0) return true;
  if (errno == ECONNREFUSED) return false;
  return ErrnoError(errno, "connect to port " + std::to_string(port));
}

HttpProbe::HttpProbe(uint16_t port, const std::string& path)
    : port_(port),
      question_("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") {}

absl::Status HttpProbe::Connect() {
  ASSIGN_OR_RETURN(socket_, Socket(SOCK_NONBLOCK));
  asked_ = false;
  answer_.clear();
  // Not there yet is what is waited for.
  if (ConnectTo(socket_, port_) != 0 && errno != EINPROGRESS) socket_.Reset();
  return absl::OkStatus();
}

bool HttpProbe::Ask() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    return false;
  }
  // A connection that is new takes so few bytes at once.
  const ssize_t sent = send(socket_.get(), question_.data(), question_.size(), MSG_NOSIGNAL);
  asked_ = true;
  return sent == static_cast<ssize_t>(question_.size());
}

bool HttpProbe::Hear() {
  char buffer[16];
  const ssize_t got = recv(socket_.get(), buffer, sizeof(buffer), 0);
  if (got < 0) return WouldBlock(errno);
  answer_.append(buffer, static_cast<size_t>(got));
  const size_t common = std::min(answer_.size(), kBegin.size());
  return got > 0 && answer_.compare(0, common, kBegin, 0, common) == 0;
}

absl::StatusOr<bool> HttpProbe::Poll(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  if (!socket_.valid()) RETURN_IF_ERROR(Connect());
  while (socket_.valid()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(end - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration(0)));
    pollfd waiting{socket_.get(), static_cast<short>(asked_ ? POLLIN : POLLOUT), 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (ready <= 0) return false;
    if (!(asked_ ? Hear() : Ask())) socket_.Reset();
    if (answer_.size() >= kBegin.size() && socket_.valid()) return true;
  }
  return false;
}

}  // namespace slacker::hellobench
