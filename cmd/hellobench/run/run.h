// One measured run of one task: sandbox, pull, create, start, until it is ready, and away again.
//
// The sandbox comes first, so that its own image and set-up are in no figure. It is on the node's
// network, so that no CNI configuration is needed: ports of containers are the node's, where this
// program has to run, too. Afterwards sandbox, container, log and copies of mounts are removed, also
// after a failure (unless a run that got there is to be kept); the image stays.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "cmd/hellobench/catalogue/task.h"
#include "cmd/hellobench/cri/cri_client.h"

namespace slacker::hellobench {

struct RunOptions {
  bool pull_if_missing = false;  // leave the registry alone when the image is here
  bool keep = false;             // leave what was made, if the container gets there
  // Ends the run as soon as it is true; checked between calls. Null: nothing does.
  const std::atomic<bool>* interrupted = nullptr;
  // Called when the sandbox is there, before the pull; an error of it ends the run. May be null.
  std::function<absl::Status()> before_pull = nullptr;
  // Called when the container is ready, before it is removed. Null: nothing is.
  std::function<absl::Status()> when_ready = nullptr;
};

// What was reached, also of a run that failed.
struct RunResult {
  std::string image_id;
  std::string sandbox_id;
  std::string container_id;
  std::string directory;  // of this run: the log and copies of mounts; goes unless it is kept
  std::string log_path;   // the container's
  // Milliseconds of each phase; 0: not got through.
  double sandbox_ms = 0;  // in no other
  double pull_ms = 0;
  double create_ms = 0;
  double ready_ms = 0;  // from the start of the container until it is ready
  double total_ms = 0;  // from the pull's beginning until it is ready
  // Of ready_ms: the call that starts the container, and the time of its first output, 0 if none came.
  double start_ms = 0;
  double first_output_ms = 0;
  bool exited = false;
  int32_t exit_code = 0;  // when exited
  std::string output;     // both streams
};

// Blocking. Errors: those of the CRI calls; DEADLINE_EXCEEDED when the container is not ready within
// its time limit; FAILED_PRECONDITION when it ends before, or with another code than 0, or when its
// port is taken before it starts; CANCELLED when interrupted. Of a container that did not get there
// the message has the end of what it wrote. What could not be removed is an error, too.
absl::Status RunOnce(CriClient& client, const Task& task, const RunOptions& options,
                     RunResult* result);

// One JSON object with the fields above, and "error" of a run that failed. `name` is the task's in
// the catalogue, or "".
std::string ToJson(const std::string& name, const Task& task, const absl::Status& status,
                   const RunResult& result);
// One line for people.
std::string ToText(const std::string& name, const absl::Status& status, const RunResult& result);

}  // namespace slacker::hellobench
