// One slot of a measurement: nodes that are new, containers that start on all of them at the same time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hellobench/catalogue/catalogue.h"
#include "cmd/hellobench/results/result.h"
#include "cmd/hellobench/site/site.h"

namespace slacker::hellobench {

struct StartOptions {
  int64_t nodes = 1;
  int64_t at_once = 1;            // containers on each node
  bool drop_server_cache = true;  // before the pulls; else it is filled
  bool second = true;             // run each container once more, on the node that has its image
  // How long the load of a task goes on that has one; 0: none is made. Its throughput is a figure.
  std::chrono::seconds load{0};
  std::chrono::seconds call_limit{300};  // for each call of CRI; the container has its task's limit
  const std::atomic<bool>* interrupted = nullptr;  // may be null
};

// Runs the image's task in `nodes` times `at_once` containers. Nothing is pulled before every sandbox is
// there and every node was found cold; a node's counters end when the last of its containers is ready, and
// are in the results of its first one; lines "hellobench-figure NAME VALUE UNIT" of a container's output
// become figures of its own. Returns a result for each container, in the order of nodes; phases,
// traffic, disk, daemons and errors are filled in. Blocking; all nodes are gone when it returns, and what
// could not be removed of one is an error of its first result.
std::vector<Result> StartAll(Site& site, const System& system, const Task& task,
                             const StartOptions& options);

}  // namespace slacker::hellobench
