// The latency of a link: bytes between a node and the servers stay for a while on each way.
//
// Listens in the node's network namespace at the servers' address, and passes on to their other address,
// over the node's wire. What comes at one moment leaves `delay` later (delay_line.h), an end of one
// direction and a reset as well; a connection is opened at once, as its first bytes are what waits. One
// thread of its own, in the node's network namespace; the object is for one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker::hellobench {

class Compartment;

struct RelayOptions {
  std::string listen_address;  // IPv4
  std::string server_address;
  std::vector<uint16_t> ports;         // the same on both sides
  std::chrono::microseconds delay{0};  // of each way
  int64_t bytes_a_second = 0;          // of the wire: how much can be on the way
};

class DelayRelay {
 public:
  // `node`, which outlives it; null: on our own network.
  static absl::StatusOr<std::unique_ptr<DelayRelay>> Start(const Compartment* node,
                                                           const RelayOptions& options);
  virtual ~DelayRelay() = default;  // connections end with it
};

}  // namespace slacker::hellobench
