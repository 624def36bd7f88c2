#include "tests/unit/cmd/hellobench/local_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>
#include <vector>

#include "backend/base/check.h"

namespace slacker::hellobench {
namespace {

UniqueFd Bind(uint16_t* port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(*port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const pointer = reinterpret_cast<sockaddr*>(&address);
  SLACKER_CHECK(bind(fd.get(), pointer, size) == 0, "bind");
  SLACKER_CHECK(getsockname(fd.get(), pointer, &size) == 0, "getsockname");
  *port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

LocalServer::LocalServer(std::string answer, uint16_t port)
    : answer_(std::move(answer)), port_(port), listener_(Bind(&port_)) {
  SLACKER_CHECK(listen(listener_.get(), 16) == 0, "listen");
  thread_ = std::thread([this] { Serve(); });
}

LocalServer::~LocalServer() {
  (void)shutdown(listener_.get(), SHUT_RDWR);  // ends accept()
  thread_.join();
}

void LocalServer::Serve() {
  std::vector<UniqueFd> silent;
  while (true) {
    UniqueFd connection(accept(listener_.get(), nullptr, nullptr));
    if (!connection.valid()) return;
    if (answer_.empty()) {
      silent.push_back(std::move(connection));
      continue;
    }
    char question[1024];
    if (recv(connection.get(), question, sizeof(question), 0) <= 0) continue;
    (void)send(connection.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
  }
}

uint16_t FreePort() {
  uint16_t port = 0;
  (void)Bind(&port);
  return port;
}

}  // namespace slacker::hellobench
