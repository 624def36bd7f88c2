// The network of a site: one bridge, which is the servers', and a wire from it to each node.
//
// The servers are at the same address everywhere, so that a reference or a URL means the same to who
// publishes, beside them, and to every node. Where the link has a delay, a node has that address itself,
// for the relay, which goes on to the servers' second one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cmd/hellobench/site/link.h"
#include "cmd/hellobench/site/programs.h"

namespace slacker::hellobench {

inline constexpr char kServerAddress[] = "10.77.0.1";
inline constexpr char kDelayedAddress[] = "10.77.0.2";
inline constexpr char kNodeInterface[] = "wire";
// High ones: images' own servers are run beside them when their starts are recorded.
inline constexpr uint16_t kRegistryPort = 32100;
inline constexpr uint16_t kHttpsPort = 32101;
inline constexpr uint16_t kNfsPort = 32102;
inline constexpr uint16_t kMountPort = 32103;
inline constexpr int kMaxNodes = 250 * 250;

std::string RegistryHost();           // address and port
std::string NodeAddress(int number);  // from 0

// In the servers' namespaces: the bridge and its addresses.
absl::Status MakeBridge(Programs& programs, Where servers);
// The limit on what is sent to all nodes, instead of the one that there is.
absl::Status LimitBridge(Programs& programs, Where servers, const Link& link);
// From the bridge to a node's namespaces.
absl::Status Connect(Programs& programs, Where servers, Where node, int number, const Link& link);
absl::Status Disconnect(Programs& programs, Where servers, int number);

}  // namespace slacker::hellobench
