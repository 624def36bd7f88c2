// A relay between 127.0.0.2 and 127.0.0.1: connections look as they would without it. How long bytes
// stay is delay_line_test.cc's.
#include "cmd/hellobench/site/delay_relay.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::RandomBytes;
using ::slacker::testing::StatusIs;

constexpr char kHere[] = "127.0.0.2";
constexpr char kThere[] = "127.0.0.1";

sockaddr_in Address(const char* host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET, host, &address.sin_addr), 1);
  return address;
}

UniqueFd Socket() { return UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

void SendAll(const UniqueFd& to, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t put = send(to.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    ASSERT_GT(put, 0);
    sent += static_cast<size_t>(put);
  }
}

// Until the end, which must not be an error.
std::string ReceiveAll(const UniqueFd& from) {
  std::string all, bytes(64 << 10, '\0');
  ssize_t got = 0;
  while ((got = recv(from.get(), bytes.data(), bytes.size(), 0)) > 0) {
    all.append(bytes, 0, static_cast<size_t>(got));
  }
  EXPECT_EQ(got, 0);
  return all;
}

void End(const UniqueFd& of) { ASSERT_EQ(shutdown(of.get(), SHUT_WR), 0); }

// As a program that dies with something unread.
void ResetPeer(UniqueFd socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
}

void ExpectReset(const UniqueFd& socket) {
  char byte = 0;
  EXPECT_EQ(recv(socket.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

class DelayRelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sockaddr_in address = Address(kThere, 0);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(bind(listening_.get(), plain, size), 0);
    ASSERT_EQ(getsockname(listening_.get(), plain, &size), 0);
    ASSERT_EQ(listen(listening_.get(), SOMAXCONN), 0);
    port_ = ntohs(address.sin_port);
    ASSERT_OK_AND_ASSIGN(relay_, DelayRelay::Start(nullptr, Options()));
  }

  RelayOptions Options() const {
    return {.listen_address = kHere,
            .server_address = kThere,
            .ports = {port_},
            .delay = std::chrono::milliseconds(1),
            .bytes_a_second = 25'000'000};
  }

  UniqueFd Connect() const {
    UniqueFd client = Socket();
    const sockaddr_in address = Address(kHere, port_);
    EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    return client;
  }
  UniqueFd Accept() const {
    return UniqueFd(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  UniqueFd listening_ = Socket();
  uint16_t port_ = 0;
  std::unique_ptr<DelayRelay> relay_;
};

TEST_F(DelayRelayTest, BytesArriveInTheirOrderOnBothWaysAtOnce) {
  // Many times what sockets and relay hold.
  const std::string up = RandomBytes(24 << 20, 1), down = RandomBytes(24 << 20, 2);
  const UniqueFd client = Connect(), server = Accept();
  std::thread sends_up([&] {
    SendAll(client, up);
    End(client);
  });
  std::thread sends_down([&] {
    SendAll(server, down);
    End(server);
  });
  std::string at_server;
  std::thread receives([&] { at_server = ReceiveAll(server); });
  const std::string at_client = ReceiveAll(client);
  for (std::thread* thread : {&sends_up, &sends_down, &receives}) thread->join();
  EXPECT_TRUE(at_server == up);
  EXPECT_TRUE(at_client == down);
}

TEST_F(DelayRelayTest, TheEndOfOneWayLeavesTheOtherOpen) {
  const UniqueFd client = Connect(), server = Accept();
  SendAll(client, "question");
  End(client);
  EXPECT_EQ(ReceiveAll(server), "question");
  SendAll(server, "answer");
  End(server);
  EXPECT_EQ(ReceiveAll(client), "answer");
}

TEST_F(DelayRelayTest, AClientsResetIsPassedOn) {
  UniqueFd client = Connect();
  const UniqueFd server = Accept();
  ResetPeer(std::move(client));
  ExpectReset(server);
}

TEST_F(DelayRelayTest, AServersResetIsPassedOnBehindItsBytes) {
  const UniqueFd client = Connect();
  UniqueFd server = Accept();
  SendAll(server, "last");
  // They have left the server before it is reset, which loses what has not.
  std::string last(4, '\0');
  ASSERT_EQ(recv(client.get(), last.data(), last.size(), MSG_WAITALL), 4);
  EXPECT_EQ(last, "last");
  ResetPeer(std::move(server));
  ExpectReset(client);
}

TEST_F(DelayRelayTest, AServerThatTakesNothingMoreIsAResetForWhoSends) {
  const UniqueFd client = Connect();
  UniqueFd server = Accept();
  server.Reset();
  const std::string bytes(64 << 10, 'x');
  ssize_t put = 0;
  while ((put = send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL)) > 0) {
  }
  EXPECT_TRUE(errno == ECONNRESET || errno == EPIPE) << errno;
}

TEST_F(DelayRelayTest, WhereNobodyListensAConnectionIsReset) {
  listening_.Reset();
  ExpectReset(Connect());
}

TEST_F(DelayRelayTest, ManyConnectionsAreThereAtTheSameTime) {
  constexpr size_t kConnections = 200;
  std::vector<UniqueFd> clients, servers;
  for (size_t number = 0; number < kConnections; ++number) {
    clients.push_back(Connect());
    servers.push_back(Accept());
  }
  for (size_t number = 0; number < kConnections; ++number) {
    SendAll(clients[number], RandomBytes(10'000, number));
    End(clients[number]);
  }
  for (const UniqueFd& server : servers) {
    SendAll(server, ReceiveAll(server));
    End(server);
  }
  for (size_t number = 0; number < kConnections; ++number) {
    EXPECT_EQ(ReceiveAll(clients[number]), RandomBytes(10'000, number));
  }
}

// One that does not read holds up nobody but who sends to it.
TEST_F(DelayRelayTest, AReaderThatWaitsHoldsUpNoOtherAndGetsEverythingInTheEnd) {
  const std::string bytes = RandomBytes(24 << 20, 3);
  const UniqueFd slow = Connect(), slow_server = Accept();
  std::thread sends([&] {
    SendAll(slow, bytes);
    End(slow);
  });
  const UniqueFd quick = Connect(), quick_server = Accept();
  SendAll(quick, bytes.substr(0, 1000));
  End(quick);
  EXPECT_EQ(ReceiveAll(quick_server), bytes.substr(0, 1000));
  EXPECT_TRUE(ReceiveAll(slow_server) == bytes);
  sends.join();
}

TEST_F(DelayRelayTest, ConnectionsEndWithIt) {
  const UniqueFd client = Connect(), server = Accept();
  relay_.reset();
  EXPECT_EQ(ReceiveAll(client), "");
  EXPECT_EQ(ReceiveAll(server), "");
}

TEST_F(DelayRelayTest, AnAddressThatCannotBeListenedOnIsAnError) {
  EXPECT_FALSE(DelayRelay::Start(nullptr, Options()).ok()) << "the other one listens there";
  RelayOptions options = Options();
  options.listen_address = "localhost";
  EXPECT_THAT(DelayRelay::Start(nullptr, options),
              StatusIs(absl::StatusCode::kInvalidArgument, "is no IPv4 address"));
}

}  // namespace
}  // namespace slacker::hellobench
