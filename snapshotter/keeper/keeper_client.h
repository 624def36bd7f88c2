// slackerd's side of the keeper: the ownership of a root directory, and kernel handles that must
// outlive this process (snapshotter/keeper/protocol.h).
//
// Ownership of a root is two things: an flock on <root>/lock, and being the owner at the root's
// keeper. The lock's open file description is shared with the keeper, so a successor gets the lock
// itself, from the moment at which its predecessor can no longer act, even while the kernel still
// holds that process. Without a keeper (killed, or none yet) the flock alone decides.
//
// Should the keeper end while we run, a background thread starts another one and gives it every
// handle again. The same thread tells it that we serve.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker {

struct KeeperOptions {
  std::string root;            // an existing directory
  std::string run_dir;         // of this root: see RootRunDir; created if missing
  std::string keeper_path;     // the slackerd-keeper program; used when no keeper answers
  int deadline_seconds = 300;  // of a keeper that we start
  // How long a service manager may take to start its keeper again, before we start one.
  std::chrono::milliseconds unit_wait = std::chrono::seconds(5);
};

// <node_run_dir>/<first 16 hex digits of the SHA-256 of the canonical root>. `root` must exist.
absl::StatusOr<std::string> RootRunDir(const std::string& node_run_dir, const std::string& root);

// Thread-safe.
class KeeperClient {
 public:
  // Becomes the owner of the root, starting a keeper if none answers at <run_dir>/keeper.sock; one
  // that is of another program than keeper_path is replaced by that, with all that it holds.
  // FAILED_PRECONDITION "… is in use by PID n" when a living process owns the root. Milliseconds, but
  // for the wait for a unit's keeper.
  static absl::StatusOr<std::unique_ptr<KeeperClient>> Open(const KeeperOptions& options);
  // Gives up ownership; the keeper goes on holding what it was given.
  ~KeeperClient();
  KeeperClient(const KeeperClient&) = delete;
  KeeperClient& operator=(const KeeperClient&) = delete;

  // Keeps a copy of `fd` under `name` (at most 31 bytes).
  absl::Status Put(const std::string& name, int fd);
  // A copy of what is kept. NOT_FOUND: nothing under that name.
  absl::StatusOr<UniqueFd> Get(const std::string& name);
  absl::Status Drop(const std::string& name);
  absl::StatusOr<std::vector<std::string>> List();
  // An eventfd for whoever answers readers: once it was written to, the keeper knows that this process
  // serves. RESOURCE_EXHAUSTED.
  absl::StatusOr<UniqueFd> ServingEvent() const;
  // Nothing is attached and this process is about to end: ends the keeper. No call but the
  // destructor may follow.
  absl::Status Bye();

  // The predecessor that was still ending when we took over, or 0.
  pid_t dying_predecessor() const { return dying_predecessor_; }

 private:
  struct Answer;
  explicit KeeperClient(const KeeperOptions& options);
  using Descriptors = std::map<std::string, UniqueFd>;
  absl::StatusOr<pid_t> Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Answer> TryToAcquire() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasUnit() const;
  absl::Status Spawn() const;
  absl::StatusOr<std::vector<std::string>> ListNames() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Descriptors> CopyAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Renew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeLock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndIdleKeeper() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status PutAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SayServing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Answer> Call(int verb, const std::string& name, int fd)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Pause(std::chrono::milliseconds time) const;
  void Watch();

  const KeeperOptions options_;
  pid_t dying_predecessor_ = 0;
  UniqueFd stop_;
  UniqueFd serving_;
  mutable Mutex mutex_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  bool said_bye_ ABSL_GUARDED_BY(mutex_) = false;
  // Our copies of what the keeper holds, for the next one.
  Descriptors kept_ ABSL_GUARDED_BY(mutex_);
  std::thread watcher_;
};

}  // namespace slacker
