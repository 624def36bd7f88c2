// What an operator asks of a running slackerd (slackerctl status, scrub): beside containerd's contract
// (snapshotter.h), on the same socket. Implemented by the daemon; snapshotter/service makes it an API.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backend/base/digest.h"

namespace slacker {

// Something of the kernel that slackerd uses where it is there, found by trying.
struct KernelFeature {
  std::string name;
  bool found = false;
  std::string detail = {};  // what is lost without it, or why it cannot be told
};

struct BreakerStatus {
  std::string state;  // "closed", "open", "half-open"
  int64_t since_unix_seconds = 0;
  int64_t next_probe_unix_seconds = 0;  // open only, else 0
  uint64_t refused = 0;                 // questions that were not asked since it opened last
  std::string error;                    // of the last question that was not answered
};

// Reads of missing data, which wait for the store.
struct OutageStatus {
  bool silent = false;
  int64_t since_unix_seconds = 0;  // silent only, as all below
  uint64_t unanswered = 0;         // questions
  uint64_t given_up = 0;           // chunks that nobody waits for any more: reads failed
  std::string error;
};

// One of the places of the store, in the order in which they are asked.
struct ReplicaStatus {
  std::string url = {};
  // Asked only now and then, since it does not answer. Not known of a store that is in one place.
  bool aside = false;
  int64_t since_unix_seconds = 0;  // aside only, as the error
  std::string error = {};
  uint64_t reads = 0, failures = 0;
  uint64_t spared = 0;  // aside only: reads that were sent to others first
};

struct StoreStatus {
  std::vector<ReplicaStatus> places;
  BreakerStatus breaker;
  OutageStatus outage;
};

// A layer of which chunks are missing or damaged, in the store (reads of them fail) or on the node's
// disk (they are fetched again).
struct FaultyLayer {
  Digest record;
  std::string images;     // names, or chain IDs, of what stands on it
  bool in_store = false;  // else on the disk
  int64_t since_unix_seconds = 0;
  uint64_t wrong = 0;   // chunks that have not been right since
  uint64_t chunks = 0;  // that were found, each once
  uint64_t times = 0;   // that any of them was found
  std::string error;    // of the last one
};

// The blob caches, together.
struct CacheStatus {
  uint64_t max_bytes = 0;         // 0 = no limit
  uint64_t min_free_percent = 0;  // of their file system
  uint64_t free_bytes = 0, disk_bytes = 0;
  // Over a limit, and nothing more can be evicted: what is fetched is not kept. 0 = it is not so.
  int64_t over_since_unix_seconds = 0;
  uint64_t excess_bytes = 0;  // over only, as the reason
  std::string over_error;
  // They cannot be written. 0 = they can.
  int64_t failing_since_unix_seconds = 0;
  uint64_t failed_writes = 0;  // since then
  std::string write_error;
};

struct NodeStatus {
  std::string version;
  int64_t pid = 0;
  std::string root;
  int64_t started_unix_seconds = 0;
  std::vector<KernelFeature> features;
  std::string fuse_directory;  // where the FUSE connection is mounted
  bool fuse_alive = false;
  bool fuse_adopted = false;  // taken over from a predecessor
  bool keeper_alive = false;
  std::vector<std::string> kept;     // names of what the keeper holds
  std::optional<StoreStatus> store;  // none: no store is configured
  CacheStatus caches;
  std::vector<FaultyLayer> faulty_layers;
  std::vector<std::pair<std::string, uint64_t>> counters;  // docs/operations.md, "Counters"
};

// What Scrub found in what the node has of one layer.
struct ScrubbedLayer {
  Digest record;
  uint64_t chunks = 0, bytes = 0;  // read back
  uint64_t damaged = 0, repaired = 0;
  std::string error;  // why the others could not be repaired, or the cache not looked at
};

class NodeControl {
 public:
  virtual ~NodeControl() = default;

  // What there is now. Asks no store; tries what the kernel can do on a loop device: milliseconds.
  // Thread-safe.
  virtual NodeStatus Status() = 0;

  // Reads back what the node has of the images with these chain IDs, or of all of them when there is
  // none, compares it, and fetches again what is not right. Each layer is told of as it is done; its
  // cache may be shared by several images. Takes as long as the disk does; `cancelled` ends it early
  // (CANCELLED). NOT_FOUND: an image is not on this node. Thread-safe.
  virtual absl::Status Scrub(const std::vector<Digest>& chains,
                             const std::function<void(const ScrubbedLayer&)>& told,
                             const std::function<bool()>& cancelled) = 0;
};

}  // namespace slacker
