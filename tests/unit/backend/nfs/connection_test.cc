#include "backend/nfs/connection.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "backend/base/unique_fd.h"
#include "tests/support/status_matchers.h"

namespace slacker::nfs {
namespace {

// Promises why the connection broke.
class Broken final : public Connection::Owner {
 public:
  std::promise<std::string> why;

  void OnConnected() override {}
  void OnReceived() override {}
  void OnAnswer(std::unique_ptr<Call> /*call*/, const absl::Status& /*status*/) override {}
  void OnBroken(Connection* /*connection*/, const std::string& reason) override {
    why.set_value(reason);
  }
};

// A server that sends fragments, none of which is the last one, for as long as somebody takes them.
class EndlessServer {
 public:
  EndlessServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_.get(), any, size), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    EXPECT_EQ(getsockname(listener_.get(), any, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~EndlessServer() { thread_.join(); }

  uint16_t port() const { return port_; }

 private:
  void Serve() const {
    const UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    constexpr size_t kBytes = 64 << 10;
    const std::string fragment = std::string("\0\1\0\0", 4) + std::string(kBytes, 'x');
    while (send(client.get(), fragment.data(), fragment.size(), MSG_NOSIGNAL) > 0) {
    }
  }

  const UniqueFd listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

TEST(ConnectionTest, AReplyThatDoesNotEndBreaksIt) {
  const EndlessServer server;
  ASSERT_OK_AND_ASSIGN(const auto loop, EventLoop::Start("test"));
  Broken owner;
  auto connection = std::make_unique<Connection>(loop.get(), &owner);
  std::promise<absl::Status> begun;
  loop->Post([&] { begun.set_value(connection->Connect("127.0.0.1", server.port(), 0, 0)); });
  ASSERT_OK(begun.get_future().get());
  EXPECT_EQ(owner.why.get_future().get(), "the server's reply does not end");
  std::promise<void> gone;
  loop->Post([&] {
    connection.reset();
    gone.set_value();
  });
  gone.get_future().get();
}

}  // namespace
}  // namespace slacker::nfs
