// The snapshotter: containerd's contract (services/snapshots/v1) in C++, without gRPC.
//
// Vocabulary and life cycle. A snapshot is *active* (writable, made by Prepare), a *view*
// (read-only, made by View) or *committed* (immutable, may be a parent). All three share one space
// of names, opaque byte strings: an active or a view has a `key`, a committed snapshot a `name`.
// Commit turns an active key into a committed name. The parent of a snapshot is "" or a committed
// name.
//
// A *remote* snapshot is a committed one whose content is a published chain: Prepare with the label
// "containerd.io/snapshot.ref" = chain ID commits it by itself and answers ALREADY_EXISTS;
// containerd then finds it by List with ref and parent. Its content is defined by the chain ID
// alone, whatever its parent is on this node.
//
// Labels come from outside and decide nothing but this; our own state lives in columns of the
// database.
//
// Errors of every method: INVALID_ARGUMENT (empty or oversized key, labels over the limits),
// NOT_FOUND (unknown key or name), UNAVAILABLE (what the answer needs is not there now: try again),
// RESOURCE_EXHAUSTED (disk full), INTERNAL. A failed call changes nothing. Threading: thread-safe;
// of N equal calls for a new key exactly one wins, the others get ALREADY_EXISTS. Crash state:
// every call is one database transaction; what it leaves on disk without it is collected at start
// or by Cleanup.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

// The numbers of the protocol.
enum class Kind : uint8_t { kView = 1, kActive = 2, kCommitted = 3 };

using Labels = std::map<std::string, std::string>;

struct SnapshotInfo {
  std::string name;  // key or name
  std::string parent;
  Kind kind = Kind::kActive;
  int64_t created_nanos = 0;  // Unix time
  int64_t updated_nanos = 0;
  Labels labels;

  bool operator==(const SnapshotInfo&) const = default;
};

struct SnapshotUsage {
  int64_t size_bytes = 0;  // allocated on this node for this snapshot alone
  int64_t inodes = 0;
};

// A mount(2) for other processes to perform.
struct MountSpec {
  std::string type;  // "bind" or "overlay"
  std::string source;
  std::vector<std::string> options;

  bool operator==(const MountSpec&) const = default;
};

// Which labels Update changes; empty = replace all of them.
struct UpdateMask {
  std::vector<std::string> paths;  // "labels" or "labels.<key>"; anything else is INVALID_ARGUMENT
};

inline constexpr std::string_view kRefLabel = "containerd.io/snapshot.ref";

class Snapshotter {
 public:
  virtual ~Snapshotter() = default;

  // A new active snapshot on `parent` (a committed name, or "" for an empty directory of mode
  // 0755). With kRefLabel naming a published chain: a remote snapshot is committed and the answer
  // is ALREADY_EXISTS. ALREADY_EXISTS also when the key is taken. INVALID_ARGUMENT when the parent
  // is not committed. Cost: milliseconds; with kRefLabel at most the store's budget.
  virtual absl::StatusOr<std::vector<MountSpec>> Prepare(const std::string& key,
                                                         const std::string& parent,
                                                         const Labels& labels) = 0;
  // A new view; otherwise like Prepare without kRefLabel.
  virtual absl::StatusOr<std::vector<MountSpec>> View(const std::string& key,
                                                      const std::string& parent,
                                                      const Labels& labels) = 0;
  // What Prepare or View answered; attaches again what a reboot took away. FAILED_PRECONDITION for
  // a committed snapshot.
  virtual absl::StatusOr<std::vector<MountSpec>> Mounts(const std::string& key) = 0;

  // Freezes an active snapshot under `name`: labels replaced, times set anew, usage frozen.
  // `parent` (containerd 2.2) sets the parent of a snapshot that has none; INVALID_ARGUMENT when it
  // differs from a recorded one, FAILED_PRECONDITION when it is not committed. ALREADY_EXISTS when
  // the name is taken, FAILED_PRECONDITION when `key` is not active.
  virtual absl::Status Commit(const std::string& name, const std::string& key, const Labels& labels,
                              const std::string& parent) = 0;

  // The key is free when this returns; data goes at the next Cleanup. FAILED_PRECONDITION with
  // children ("cannot remove …").
  virtual absl::Status Remove(const std::string& key) = 0;

  virtual absl::StatusOr<SnapshotInfo> Stat(const std::string& key) = 0;

  // Changes labels only; a label set to "" is deleted. Answers the new state.
  virtual absl::StatusOr<SnapshotInfo> Update(const std::string& name, const Labels& labels,
                                              const UpdateMask& mask) = 0;

  // Calls `visit` for each snapshot that matches any of `filters` (containerd's filter grammar;
  // none = all), with no lock held; stops at the first error and returns it. INVALID_ARGUMENT for a
  // malformed filter.
  virtual absl::Status List(const std::vector<std::string>& filters,
                            const std::function<absl::Status(const SnapshotInfo&)>& visit) = 0;

  // Active: own changes on disk. Committed: as frozen. View: 0. Never the parent's.
  virtual absl::StatusOr<SnapshotUsage> Usage(const std::string& key) = 0;

  // Deletes what removed snapshots left. Idempotent, safe beside every other call.
  virtual absl::Status Cleanup() = 0;
};

}  // namespace slacker
