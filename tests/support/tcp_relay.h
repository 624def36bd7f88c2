// A TCP relay on the loopback interface that cuts connections when a test says so, and looks at
// what passes.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <thread>

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
  // How often `pattern` has been sent to the server so far.
  size_t Seen(const std::string& pattern);
  size_t SentBytes();

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd server;
    std::atomic<bool> lose = false;
    std::thread up;
    std::thread down;
  };
  void Accept();
  void PumpUp(Pair* pair);
  void PumpDown(Pair* pair);
  // What a request of one client does to the relay; before it is passed on.
  void Look(Pair* pair, const std::string& bytes);

  const uint16_t server_port_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<bool> lost_ = false;
  Mutex mutex_;
  std::list<std::unique_ptr<Pair>> pairs_ ABSL_GUARDED_BY(mutex_);
  std::string armed_ ABSL_GUARDED_BY(mutex_);
  std::string sent_ ABSL_GUARDED_BY(mutex_);
  std::thread accept_;
};

}  // namespace slacker::testing
