// Tells the store which images this node has, so that maintenance of the store keeps them
// (docs/adr/0015): the object leases/<node>/images.
//
// Best effort, on a thread of its own: nothing waits for it, and a store that cannot be written is
// left alone; its images are kept for as long as its grace. The images are looked at every kInterval;
// the lease is written when they have changed, and every kRenewal; after a failure, kRetry later. A
// node without images has none, and removes that of its predecessor; a new one writes none.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/clock.h"
#include "snapshotter/metastore/db.h"

namespace slacker {

class LeaseKeeper {
 public:
  static constexpr std::chrono::seconds kInterval{10};
  static constexpr std::chrono::minutes kRetry{1};
  static constexpr std::chrono::hours kRenewal{6};

  struct Options {
    std::string root;  // of the node's state: where its name is kept
    Db* db = nullptr;
    const Clock* clock = nullptr;
    // The store, for writing; asked again as long as it fails.
    std::function<absl::StatusOr<std::shared_ptr<Backend>>()> open;
  };

  // The name is made at the first start (<root>/node).
  static absl::StatusOr<std::unique_ptr<LeaseKeeper>> Open(Options options);
  // Stop.
  ~LeaseKeeper();

  // Starts the thread. At most once.
  void Start();
  // Ends it. Does not wait longer than two seconds for a store that hangs.
  void Stop();

  // One look, now: what the thread does. For tests, without Start.
  absl::Status Renew();

  const std::string& node() const { return node_; }

 private:
  struct State;
  LeaseKeeper(Options options, std::string node, bool is_new);

  const std::string node_;
  // Shared with the thread, which may outlive us in a call of a store that hangs.
  const std::shared_ptr<State> state_;
};

}  // namespace slacker
