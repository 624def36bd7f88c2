// slackerd's side of the attach helper: starts it, sends it requests, starts another one should it
// end. Thread-safe.
//
// The helper ends when our end of its socket closes. A predecessor that is being killed may have
// that open for long, so there is a second socket, the switch, whose end the keeper has too:
// shutting it down ends the helper as well.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/attach/attach_protocol.h"
#include "snapshotter/keeper/keeper_client.h"

namespace slacker::attach {

class HelperClient {
 public:
  // `program`: slackerd-attach; `lock_path`: one for all generations of a root's helpers. Ends the
  // helper of a predecessor. `keeper` must outlive the client.
  static absl::StatusOr<std::unique_ptr<HelperClient>> Open(const std::string& program,
                                                            const std::string& lock_path,
                                                            KeeperClient* keeper);
  // Ends the helper. REQUIRES: no Call is under way.
  ~HelperClient();
  HelperClient(const HelperClient&) = delete;
  HelperClient& operator=(const HelperClient&) = delete;

  // Has the helper perform the request (its id is set here) and waits for the answer; calls run in
  // parallel. Requests can be repeated, so one over which the helper died is given to the next one,
  // once. UNAVAILABLE when that dies too, or the child that had it did, or none can be started.
  absl::Status Call(Request request);
  // Has the helper perform it without answering, if it can be had at once; nobody waits.
  void Tell(Request request);

 private:
  struct Pending {
    bool done = false;
    bool orphaned = false;  // the helper ended before it answered
    absl::Status status;
  };
  void Ask(Request& request, Pending* pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  HelperClient(std::string program, std::string lock_path, KeeperClient* keeper)
      : program_(std::move(program)), lock_path_(std::move(lock_path)), keeper_(keeper) {}
  absl::Status Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Receive(int socket);

  const std::string program_;
  const std::string lock_path_;
  KeeperClient* const keeper_;
  Mutex mutex_;
  CondVar answered_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  UniqueFd switch_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  pid_t pid_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Pending*> pending_ ABSL_GUARDED_BY(mutex_);
  std::thread receiver_;  // replaced by Start only, after the previous one has ended
};

}  // namespace slacker::attach
