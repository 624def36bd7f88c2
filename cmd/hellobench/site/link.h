// The wire between a site's servers and its nodes, as a measurement names it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker::hellobench {

struct Link {
  std::string name = "loopback";  // as it was written
  int64_t mbit = 0;               // that the servers send to all nodes together; 0: no limit
  int64_t delay_ms = 0;           // added to every round trip
};

// Of "loopback", "<N>gbit", "<N>mbit", and the last two with "-<M>ms" behind. N is at least 1 and at most
// 400 Gbit/s, M from 1 to 10000. INVALID_ARGUMENT, with the form, for anything else.
absl::StatusOr<Link> ParseLink(std::string_view text);

}  // namespace slacker::hellobench
