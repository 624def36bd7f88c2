// A node of a site: a compartment on the site's network, with a containerd and a snapshotter's daemon.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cmd/hellobench/site/compartment.h"
#include "cmd/hellobench/site/link.h"
#include "cmd/hellobench/site/programs.h"
#include "cmd/hellobench/site/servers.h"
#include "cmd/hellobench/site/site.h"
#include "cmd/hellobench/site/snapshotters.h"

namespace slacker::hellobench {

struct NodeOptions {
  Programs* programs = nullptr;  // outlives the node, as the next
  const Compartment* servers = nullptr;
  const Registry* registry = nullptr;
  const Store* store = nullptr;  // null: none
  std::string store_kind;        // "" if there is none
  Link link;
  int number = 0;  // nobody else's of the site
  Snapshotter snapshotter;
  std::string containerd;          // the program
  std::string containerd_version;  // "1" or "2"
  std::string ctr;                 // the program
  std::string directory;           // its own, of a name that is short
  std::string logs;                // a directory that stays
  std::string hosts;               // directory of hosts.toml files
  std::string pause;               // reference
  Placeholders placeholders;       // what texts of the snapshotter mean, but for the node's own
  const std::atomic<bool>* interrupted = nullptr;  // ends its start; may be null
};

// Returns when its daemons answer and it has the sandboxes' image. A node that does not start leaves
// nothing but its logs.
absl::StatusOr<std::unique_ptr<Node>> StartNode(const NodeOptions& options);

}  // namespace slacker::hellobench
