// Publishing by itself ([publish] auto): what this node had to pull the ordinary way is written down
// below its root, as requests (backend/store/requests.h), and a child process, `slackerctl publish
// --serve --node`, publishes it from containerd's content store. There is a child only while
// there is something to do: at the lowest CPU and I/O priority, first in line when memory is short,
// and ended, at whatever point, when slackerd ends (ADR 0023). One that fails is started again,
// later and later.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/gateway/request_writer.h"

namespace slacker {

// Where the requests of a node are: a store of their own, of which nothing else is used.
std::string NodeRequestsUrl(const std::string& root);

// Thread-safe.
class AutoPublisher {
 public:
  struct Options {
    std::string root;
    std::vector<std::string> command;  // the child's program and its arguments
    std::chrono::milliseconds first_pause{1000}, last_pause{60'000};
    std::chrono::milliseconds stop_grace{2000};  // between SIGTERM and SIGKILL
  };
  static absl::StatusOr<std::unique_ptr<AutoPublisher>> Open(Options options);
  ~AutoPublisher();
  AutoPublisher(const AutoPublisher&) = delete;
  AutoPublisher& operator=(const AutoPublisher&) = delete;

  // As RequestWriter::Note. `key`: of the snapshot, as containerd makes it: its namespace first.
  void Note(const std::string& ref, const std::string& key, const Labels& labels);

  // Ends the child. What is written down is done by the next slackerd of this root.
  void Stop();

 private:
  AutoPublisher(Options options, std::shared_ptr<Backend> requests);
  void Wake();
  void Run();
  bool AnythingLeft();
  // Runs the child to its end: OK if it ended by itself without a fault.
  absl::Status RunChild();
  absl::StatusOr<UniqueFd> Spawn();
  // True, and at once, when it is time to stop.
  bool Pause(std::chrono::milliseconds pause);

  const Options options_;
  const std::shared_ptr<Backend> requests_;
  Mutex mutex_;
  CondVar changed_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = true;  // a predecessor may have left something
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  pid_t child_ ABSL_GUARDED_BY(mutex_) = 0;  // not reaped yet; 0: none
  RequestWriter writer_;
  std::thread thread_;  // last: uses everything above
};

}  // namespace slacker
