// Whether a server on this node's network answers HTTP.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {

// Whether anybody takes connections on 127.0.0.1:`port`. INTERNAL and others of the socket.
absl::StatusOr<bool> Listens(uint16_t port);

// One question after another to 127.0.0.1:`port`, until one has an answer. Thread-compatible.
class HttpProbe {
 public:
  HttpProbe(uint16_t port, const std::string& path);

  // Goes on with the question, or asks the next one, for at most `limit`; true when an answer of
  // HTTP begins, whatever it is. Returns false at once where nobody listens, and where somebody ends
  // the connection or says something else. A question waits for its answer over any number of calls.
  absl::StatusOr<bool> Poll(std::chrono::milliseconds limit);

 private:
  absl::Status Connect();
  // False when the connection is of no use any more.
  bool Ask();
  bool Hear();

  const uint16_t port_;
  const std::string question_;
  UniqueFd socket_;  // invalid between questions
  bool asked_ = false;
  std::string answer_;  // its first bytes
};

}  // namespace slacker::hellobench
