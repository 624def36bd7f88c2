// One measured run of one image: sandbox, pull, create, start, output, end, and away again.
//
// The sandbox comes first, so that its own image and set-up are in no figure. Afterwards the
// sandbox and the container are removed (unless asked to be kept); the image stays.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hellobench/cri_client.h"

namespace slacker::hellobench {

struct RunOptions {
  std::string image;
  std::vector<std::string> command;  // empty: the image's own
  // Not empty: the run is over as soon as the output contains this; otherwise when the container
  // has ended.
  std::string wait_output;
  bool first_output = false;     // the run is over at any output, or when the container has ended
  bool pull_if_missing = false;  // leave the registry alone when the image is here
  bool keep = false;             // leave sandbox and container as they are at the end
  std::string log_directory;     // absolute, existing
  std::chrono::milliseconds timeout{300'000};  // for the container, from its start
};

struct RunResult {
  std::string image_id;
  std::string sandbox_id;
  std::string container_id;
  std::string log_path;  // the container's log; goes with the sandbox unless that is kept
  // Milliseconds of each step.
  double sandbox_ms = 0;
  double pull_ms = 0;
  double create_ms = 0;
  double start_ms = 0;
  double first_output_ms = 0;  // from the start RPC to the first line; 0 if none came
  double ready_ms = 0;         // from the pull's beginning to the awaited output, or to the end
  bool exited = false;
  int32_t exit_code = 0;  // when exited
  std::string output;     // both streams
};

// Errors: those of the CRI calls; DEADLINE_EXCEEDED when the output or the end does not come;
// FAILED_PRECONDITION when the container ends without the awaited output (the message has what it
// wrote). Blocking; everything that was made is removed on an error, kept or not.
absl::StatusOr<RunResult> RunOnce(CriClient& client, const RunOptions& options);

// One JSON object with the fields above.
std::string ToJson(const RunOptions& options, const RunResult& result);

}  // namespace slacker::hellobench
