// Where a measurement takes place: servers, and nodes that reach them over a link and over nothing else.
//
// A site has one network namespace with a registry and, for snapshotters that read from a store, the
// store's server; and for each node one of its own with a containerd and at most one snapshotter's daemon,
// all on directories below the site's. A node is made for its runs and destroyed after them: what is cold
// about it is that it is new. Nothing of a site outlives it: processes, mounts, namespaces, directories.
//
// Blocking. A site is for one thread, and so is a node, but for Enter and RunScript; different nodes may be
// used by different threads. site_options.h opens one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/hellobench/results/result.h"
#include "cmd/hellobench/site/link.h"

namespace slacker::hellobench {

// What is measured: a snapshotter, and where it reads from beside the registry.
struct System {
  std::string snapshotter;  // its name in the snapshotters file
  std::string store;        // "loopback", "nfs", "https"; "" for one that needs none
  auto operator<=>(const System&) const = default;
};

// An image as the site's registry has it.
struct SiteImage {
  std::string name;       // in the catalogue
  std::string reference;  // to be pulled
  int64_t bytes = 0;      // compressed layers
  int64_t layers = 0;
};

// What a node's counters stand at. Differences of two are what a run moved and took.
struct Counters {
  Traffic traffic;                 // all there are, since the node's or the server's start
  int64_t disk_bytes = 0;          // below the node's directory, as allocated
  std::vector<DaemonUse> daemons;  // cpu_seconds since their start, peak_rss_bytes since ResetPeaks
};

class Node {
 public:
  virtual ~Node() = default;

  // Of its containerd.
  virtual const std::string& socket() const = 0;
  // Calls it on a thread that is on the node's network, for as long as it takes. Thread-safe.
  virtual void Enter(const std::function<void()>& body) = 0;
  // What a shell script wrote to its standard output, on the node's network. Errors: INTERNAL, with what it
  // wrote, if it does not end with 0; DEADLINE_EXCEEDED. Thread-safe.
  virtual absl::StatusOr<std::string> RunScript(const std::string& script,
                                                std::chrono::seconds limit) = 0;
  // FAILED_PRECONDITION, with what was found, if the node has an image (beside the sandboxes'), a snapshot or
  // content of one, or anything in its snapshotter's cache. Drops the machine's page cache, which is the
  // servers' as well: who wants theirs warm warms them afterwards.
  virtual absl::Status MakeCold() = 0;
  // Begins peak_rss_bytes again.
  virtual absl::Status ResetPeaks() = 0;
  virtual absl::StatusOr<Counters> Count() = 0;
  // Removes containers, daemons, mounts and directories, and says what could not be removed. The
  // destructor does the same and tells nobody.
  virtual absl::Status Destroy() = 0;
};

class Site {
 public:
  virtual ~Site() = default;

  // The image as `system` pulls it: pushed, and converted or published if that is how the snapshotter
  // wants it. What that took is in `result` (prepare_ms, traffic, figures); nothing of an image that is
  // prepared already.
  virtual absl::StatusOr<SiteImage> Prepare(const System& system, const std::string& image,
                                            Result* result) = 0;
  // What is between the servers and the nodes that are started from now on; "loopback" before.
  // REQUIRES: there are no nodes.
  virtual absl::Status SetLink(const Link& link) = 0;
  // A node whose daemons answer, with the sandboxes' image. Nodes of a site may exist at the same time.
  virtual absl::StatusOr<std::unique_ptr<Node>> StartNode(const System& system) = 0;
  // What the servers have in the page cache is dropped. FAILED_PRECONDITION: some of it is not.
  virtual absl::Status DropServerCaches() = 0;
  // All of the servers' files is read into the page cache. FAILED_PRECONDITION: it does not stay there.
  virtual absl::Status WarmServerCaches() = 0;
  virtual std::map<std::string, std::string> Versions() = 0;
};

// The difference, as a run's traffic, disk and daemons.
void SetDifference(const Counters& before, const Counters& after, Result* result);

}  // namespace slacker::hellobench
