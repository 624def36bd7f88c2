#include "cmd/hellobench/site/addresses.h"

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

constexpr int kNodesAByte = 250;
constexpr char kBridge[] = "servers";

std::string Port(int number) { return "node" + std::to_string(number); }

absl::Status Shell(Programs& programs, Where where, const std::string& script) {
  return programs.Run({.words = {"sh", "-ec", script}, .where = where}).status();
}

}  // namespace

std::string RegistryHost() {
  return std::string(kServerAddress) + ":" + std::to_string(kRegistryPort);
}

std::string NodeAddress(int number) {
  return "10.77." + std::to_string(1 + number / kNodesAByte) + "." +
         std::to_string(1 + number % kNodesAByte);
}

absl::Status MakeBridge(Programs& programs, Where servers) {
  const std::string bridge(kBridge);
  std::string script = "ip link add " + bridge + " type bridge\n";
  for (const char* address : {kServerAddress, kDelayedAddress}) {
    script += "ip address add " + std::string(address) + "/16 dev " + bridge + "\n";
  }
  script += "ip link set " + bridge + " up\n";
  return Annotate(Shell(programs, servers, script), "make the servers' network");
}

absl::Status LimitBridge(Programs& programs, Where servers, const Link& link) {
  std::string script = "tc qdisc replace dev " + std::string(kBridge) + " root ";
  if (link.mbit > 0) {
    // A burst of two of the largest packets that the stack hands over in one piece.
    script += "tbf rate " + std::to_string(link.mbit) + "mbit burst 128kb latency 50ms";
  } else {
    script += "noqueue";  // what a bridge has by itself
  }
  return Annotate(Shell(programs, servers, script), "limit the servers' network");
}

absl::Status Connect(Programs& programs, Where servers, Where node, int number, const Link& link) {
  // The pair is made on the node's side, and one end is sent to the bridge: a number of a process means
  // something only outside of the two namespaces.
  const auto enter = [](Where where) {
    return "nsenter --net=/proc/" + std::to_string(where.process) + "/ns/net ip ";
  };
  const std::string wire(kNodeInterface);
  std::string script = enter(servers) + "link add " + Port(number) + " type veth peer name " +
                       wire + " netns " + std::to_string(node.process) + "\n" + enter(servers) +
                       "link set " + Port(number) + " master " + kBridge + " up\n" + enter(node) +
                       "address add " + NodeAddress(number) + "/16 dev " + wire + "\n" +
                       enter(node) + "link set " + wire + " up\n";
  if (link.delay_ms > 0) {
    script += enter(node) + "address add " + std::string(kServerAddress) + "/32 dev lo\n";
  }
  return Annotate(Shell(programs, {}, script), "connect a node");
}

absl::Status Disconnect(Programs& programs, Where servers, int number) {
  return programs
      .Run({.words = {"ip", "link", "delete", Port(number)}, .where = servers, .clean_up = true})
      .status();
}

}  // namespace slacker::hellobench
