// A TCP relay on the loopback interface that cuts connections when a test says so, and looks at
// what passes.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker::testing {

// Thread-safe.
class TcpRelay {
 public:
  // From a port that the kernel chooses to 127.0.0.1:`port`.
  explicit TcpRelay(uint16_t port);
  ~TcpRelay();
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;

  uint16_t port() const { return port_; }
  // Every connection ends with a reset.
  void ResetAll();
  // Passes on the next request that contains `pattern`, waits for the server's answer to it, and
  // resets the connection instead of handing the answer on.
  void LoseAnswerTo(const std::string& pattern);
  // Whether that has happened.
  bool AnswerLost() const { return lost_; }
  // How often `pattern` has been sent to the server so far, and by how many connections.
  size_t Seen(const std::string& pattern);
  size_t ConnectionsWith(const std::string& pattern);
  size_t SentBytes();
  // How often the server has answered it so far.
  size_t Answered(const std::string& pattern);

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd server;
    std::atomic<bool> lose = false;
    std::string sent;  // under mutex_, as `answered`
    std::string answered;
    std::thread up;
    std::thread down;
  };
  void Accept();
  void PumpUp(Pair* pair);
  void PumpDown(Pair* pair);
  // Of each connection so far, the occurrences of a pattern in what it has sent or been answered.
  std::vector<size_t> Count(std::string Pair::*bytes, const std::string& pattern);
  // What a request of one client does to the relay; before it is passed on.
  void Look(Pair* pair, const std::string& bytes);

  const uint16_t server_port_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<bool> lost_ = false;
  Mutex mutex_;
  std::list<std::unique_ptr<Pair>> pairs_ ABSL_GUARDED_BY(mutex_);
  std::string armed_ ABSL_GUARDED_BY(mutex_);
  std::thread accept_;
};

}  // namespace slacker::testing
