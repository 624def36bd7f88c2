#include <algorithm>

#include "cmd/hellobench/site/site.h"

namespace slacker::hellobench {
namespace {

// Absent where either does not have it: what began to count in between counts something else.
void SetDifference(const std::optional<int64_t>& before, const std::optional<int64_t>& after,
                   std::optional<int64_t>* difference) {
  if (before.has_value() && after.has_value()) *difference = *after - *before;
}

}  // namespace

void SetDifference(const Counters& before, const Counters& after, Result* result) {
  const Traffic &from = before.traffic, &to = after.traffic;
  Traffic& traffic = result->traffic;
  SetDifference(from.received_bytes, to.received_bytes, &traffic.received_bytes);
  SetDifference(from.sent_bytes, to.sent_bytes, &traffic.sent_bytes);
  SetDifference(from.registry_bytes, to.registry_bytes, &traffic.registry_bytes);
  SetDifference(from.registry_requests, to.registry_requests, &traffic.registry_requests);
  SetDifference(from.store_bytes, to.store_bytes, &traffic.store_bytes);
  SetDifference(from.store_requests, to.store_requests, &traffic.store_requests);
  result->disk_bytes = after.disk_bytes - before.disk_bytes;
  result->daemons = after.daemons;
  for (DaemonUse& daemon : result->daemons) {
    const auto same =
        std::find_if(before.daemons.begin(), before.daemons.end(),
                     [&](const DaemonUse& other) { return other.name == daemon.name; });
    if (same != before.daemons.end()) daemon.cpu_seconds -= same->cpu_seconds;
  }
}

}  // namespace slacker::hellobench
