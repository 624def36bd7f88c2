// A server on a free port of this machine: takes each connection, and answers with the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <thread>

#include "backend/base/unique_fd.h"

namespace slacker::hellobench {

class LocalServer {
 public:
  // Whoever says nothing ("") leaves the connection open until the end.
  explicit LocalServer(std::string answer, uint16_t port = 0);  // 0: a free one
  ~LocalServer();

  uint16_t port() const { return port_; }

 private:
  void Serve();

  const std::string answer_;
  uint16_t port_;
  UniqueFd listener_;
  std::thread thread_;
};

// A port that nobody listens on, as far as one can know.
uint16_t FreePort();

}  // namespace slacker::hellobench
