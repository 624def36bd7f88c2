#include "tests/support/tcp_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "backend/base/check.h"

namespace slacker::testing {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool SendAll(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t sent = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += static_cast<size_t>(sent);
  }
  return true;
}

// "" at the end.
std::string Receive(int fd) {
  std::string bytes(kBufferBytes, '\0');
  const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

// Both directions end, the peer sees a reset.
void Reset(int fd) {
  const linger at_once = {1, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  // Unlike close, this wakes threads that wait for the socket; connecting it to nothing resets it.
  sockaddr nothing{};
  nothing.sa_family = AF_UNSPEC;
  (void)connect(fd, &nothing, sizeof nothing);
  (void)shutdown(fd, SHUT_RDWR);
}

}  // namespace

TcpRelay::TcpRelay(uint16_t port)
    : server_port_(port), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  SLACKER_CHECK(bind(listener_.get(), generic, size) == 0 && listen(listener_.get(), 64) == 0 &&
                    getsockname(listener_.get(), generic, &size) == 0,
                "the loopback interface is up");
  port_ = ntohs(address.sin_port);
  accept_ = std::thread([this] { Accept(); });
}

TcpRelay::~TcpRelay() {
  (void)shutdown(listener_.get(), SHUT_RDWR);
  accept_.join();
  ResetAll();
  std::list<std::unique_ptr<Pair>> pairs;
  {
    MutexLock lock(&mutex_);
    pairs.swap(pairs_);
  }
  for (auto& pair : pairs) {
    pair->up.join();
    pair->down.join();
  }
}

void TcpRelay::Accept() {
  for (;;) {
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.valid()) return;
    UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = Loopback(server_port_);
    if (connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      Reset(client.get());
      continue;
    }
    auto pair = std::make_unique<Pair>();
    pair->client = std::move(client);
    pair->server = std::move(server);
    Pair* const raw = pair.get();
    MutexLock lock(&mutex_);
    pair->up = std::thread([this, raw] { PumpUp(raw); });
    pair->down = std::thread([this, raw] { PumpDown(raw); });
    pairs_.push_back(std::move(pair));
  }
}

void TcpRelay::Look(Pair* pair, const std::string& bytes) {
  MutexLock lock(&mutex_);
  pair->sent += bytes;
  if (armed_.empty() || bytes.find(armed_) == std::string::npos) return;
  armed_.clear();
  pair->lose = true;
}

void TcpRelay::PumpUp(Pair* pair) {
  for (;;) {
    const std::string bytes = Receive(pair->client.get());
    if (bytes.empty()) break;
    Look(pair, bytes);
    if (!SendAll(pair->server.get(), bytes)) break;
  }
  Reset(pair->client.get());
  Reset(pair->server.get());
}

void TcpRelay::PumpDown(Pair* pair) {
  for (;;) {
    const std::string bytes = Receive(pair->server.get());
    if (bytes.empty()) break;
    {
      MutexLock lock(&mutex_);
      pair->answered += bytes;
    }
    if (pair->lose) {
      lost_ = true;
      break;
    }
    if (!SendAll(pair->client.get(), bytes)) break;
  }
  Reset(pair->client.get());
  Reset(pair->server.get());
}

void TcpRelay::ResetAll() {
  MutexLock lock(&mutex_);
  for (const auto& pair : pairs_) {
    Reset(pair->client.get());
    Reset(pair->server.get());
  }
}

void TcpRelay::LoseAnswerTo(const std::string& pattern) {
  MutexLock lock(&mutex_);
  lost_ = false;
  armed_ = pattern;
}

std::vector<size_t> TcpRelay::Count(std::string Pair::*bytes, const std::string& pattern) {
  MutexLock lock(&mutex_);
  std::vector<size_t> counts;
  for (const auto& pair : pairs_) {
    const std::string& all = (*pair).*bytes;
    size_t count = 0;
    for (size_t at = all.find(pattern); at != std::string::npos; at = all.find(pattern, at + 1)) {
      ++count;
    }
    counts.push_back(count);
  }
  return counts;
}

size_t TcpRelay::Seen(const std::string& pattern) {
  const std::vector<size_t> counts = Count(&Pair::sent, pattern);
  return std::accumulate(counts.begin(), counts.end(), size_t{0});
}

size_t TcpRelay::ConnectionsWith(const std::string& pattern) {
  const std::vector<size_t> counts = Count(&Pair::sent, pattern);
  return counts.size() - static_cast<size_t>(std::ranges::count(counts, 0u));
}

size_t TcpRelay::Answered(const std::string& pattern) {
  const std::vector<size_t> counts = Count(&Pair::answered, pattern);
  return std::accumulate(counts.begin(), counts.end(), size_t{0});
}

size_t TcpRelay::SentBytes() {
  MutexLock lock(&mutex_);
  size_t bytes = 0;
  for (const auto& pair : pairs_) bytes += pair->sent.size();
  return bytes;
}

}  // namespace slacker::testing
