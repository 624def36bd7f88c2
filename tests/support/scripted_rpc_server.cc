#include "tests/support/scripted_rpc_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "backend/base/check.h"

namespace slacker::testing {
namespace {

uint32_t ReadU32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

Xdr& Xdr::U32(uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(value >> shift);
  return *this;
}

Xdr& Xdr::U64(uint64_t value) {
  return U32(static_cast<uint32_t>(value >> 32)).U32(static_cast<uint32_t>(value));
}

Xdr& Xdr::Opaque(std::string_view value) {
  return U32(static_cast<uint32_t>(value.size())).Raw(value).Zeros((4 - value.size() % 4) % 4);
}

Xdr& Xdr::Raw(std::string_view value) {
  bytes_ += value;
  return *this;
}

Xdr& Xdr::Zeros(size_t bytes) {
  bytes_.append(bytes, '\0');
  return *this;
}

std::string Fragment(std::string_view bytes, bool last) {
  const auto size = static_cast<uint32_t>(bytes.size());
  return Xdr().U32(last ? size | 0x80000000 : size).Raw(bytes).bytes();
}

std::string Accepted(uint32_t xid) {
  return Xdr().U32(xid).U32(1).U32(0).U32(0).U32(0).U32(0).bytes();
}

ScriptedRpcServer::ScriptedRpcServer(Script script)
    : script_(std::move(script)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  SLACKER_CHECK(bind(listener_.get(), any, size) == 0 && listen(listener_.get(), 64) == 0 &&
                    getsockname(listener_.get(), any, &size) == 0,
                "the loopback interface is up");
  port_ = ntohs(address.sin_port);
  accept_ = std::thread([this] { Accept(); });
}

ScriptedRpcServer::~ScriptedRpcServer() {
  (void)shutdown(listener_.get(), SHUT_RDWR);
  accept_.join();
  std::list<Client> clients;
  {
    MutexLock lock(&mutex_);
    clients.swap(clients_);
  }
  for (Client& client : clients) (void)shutdown(client.socket.get(), SHUT_RDWR);
  for (Client& client : clients) client.thread.join();
}

void ScriptedRpcServer::Accept() {
  for (;;) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) return;
    RemoveGone();
    MutexLock lock(&mutex_);
    Client& client = clients_.emplace_back();
    client.socket = std::move(socket);
    client.thread = std::thread([this, &client, fd = client.socket.get()] {
      Serve(fd);
      client.gone = true;
    });
  }
}

void ScriptedRpcServer::RemoveGone() {
  MutexLock lock(&mutex_);
  clients_.remove_if([](Client& client) {
    if (!client.gone) return false;
    client.thread.join();
    return true;
  });
}

void ScriptedRpcServer::Serve(int socket) const {
  for (;;) {
    // A record mark and the call's number; clients send one fragment.
    char head[8];
    if (recv(socket, head, sizeof head, MSG_WAITALL) != sizeof head) return;
    std::string rest((ReadU32(head) & 0x7fffffff) - 4, '\0');
    const auto size = static_cast<ssize_t>(rest.size());
    if (recv(socket, rest.data(), rest.size(), MSG_WAITALL) != size) return;
    const std::string answer = script_(ReadU32(head + 4));
    for (size_t sent = 0; sent < answer.size();) {
      const ssize_t now = send(socket, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (now <= 0) return;
      sent += static_cast<size_t>(now);
    }
  }
}

}  // namespace slacker::testing
