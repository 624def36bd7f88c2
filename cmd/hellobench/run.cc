#include "cmd/hellobench/run.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "cmd/hellobench/cri_log.h"

namespace slacker::hellobench {
namespace {

using Clock = std::chrono::steady_clock;

// CRI has no way to be told of output or of an end, so both are looked for this often.
constexpr std::chrono::milliseconds kPollInterval{2};
constexpr std::chrono::seconds kEndLimit{5};
constexpr char kLogName[] = "container.log";

double MillisSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Removes a sandbox with all that is in it, unless it is kept.
class SandboxGuard {
 public:
  SandboxGuard(CriClient& client, std::string id) : client_(client), id_(std::move(id)) {}
  SandboxGuard(const SandboxGuard&) = delete;
  SandboxGuard& operator=(const SandboxGuard&) = delete;
  ~SandboxGuard() {
    // On an error path already; the first error is the one to report.
    if (!id_.empty()) (void)client_.RemoveSandbox(id_);
  }
  absl::Status Remove() { return client_.RemoveSandbox(std::exchange(id_, {})); }
  void Keep() { id_.clear(); }

 private:
  CriClient& client_;
  std::string id_;
};

// Waits for the awaited output or the end, and fills in what was seen.
absl::Status Await(CriClient& client, const RunOptions& options, Clock::time_point pull_start,
                   Clock::time_point container_start, RunResult* result) {
  const CriLogFollower log(result->log_path);
  while (true) {
    // The state first: what is read after an end is everything.
    ASSIGN_OR_RETURN(const ContainerStatus status, client.Status(result->container_id));
    ASSIGN_OR_RETURN(result->output, log.Read());
    if (result->first_output_ms == 0 && !result->output.empty()) {
      result->first_output_ms = MillisSince(container_start);
    }
    result->exited = status.state == ContainerState::kExited;
    result->exit_code = status.exit_code;
    const bool seen = (options.first_output && !result->output.empty()) ||
                      (!options.wait_output.empty() &&
                       result->output.find(options.wait_output) != std::string::npos);
    if (seen || (result->exited && options.wait_output.empty())) {
      result->ready_ms = MillisSince(pull_start);
      return absl::OkStatus();
    }
    if (result->exited) {
      return FailedPrecondition("the container ended with code " +
                                std::to_string(status.exit_code) + " (" + status.message +
                                ") without the awaited output; it wrote:\n" + result->output);
    }
    if (Clock::now() - container_start > options.timeout) {
      return DeadlineExceeded("the container did not get there in time; it wrote:\n" +
                              result->output);
    }
    // The end of a container changes no file: its state is asked for at this interval.
    log.WaitForChange(kPollInterval);
  }
}

// A container may end by itself while it is being stopped; containerd then answers with an error of the shim's connection,
// a moment before it learns of the end.
absl::Status Stop(CriClient& client, const RunResult& result) {
  const absl::Status stopped = client.StopContainer(result.container_id, std::chrono::seconds(0));
  const CriLogFollower log(result.log_path);
  for (const auto start = Clock::now(); !stopped.ok(); log.WaitForChange(kPollInterval)) {
    ASSIGN_OR_RETURN(const ContainerStatus status, client.Status(result.container_id));
    if (status.state == ContainerState::kExited) break;
    if (Clock::now() - start > kEndLimit) return stopped;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunResult> RunOnce(CriClient& client, const RunOptions& options) {
  RunResult result;
  result.log_path = options.log_directory + "/" + kLogName;
  const std::string name = "hello-" + std::to_string(getpid()) + "-" +
                           std::to_string(Clock::now().time_since_epoch().count());
  const SandboxSpec sandbox{name, options.log_directory};
  Clock::time_point step = Clock::now();
  ASSIGN_OR_RETURN(result.sandbox_id, client.RunSandbox(sandbox));
  result.sandbox_ms = MillisSince(step);
  SandboxGuard guard(client, result.sandbox_id);

  const Clock::time_point pull_start = Clock::now();
  bool present = false;
  if (options.pull_if_missing) {
    ASSIGN_OR_RETURN(present, client.HasImage(options.image));
  }
  result.image_id = options.image;
  if (!present) {
    ASSIGN_OR_RETURN(result.image_id, client.Pull(options.image));
  }
  result.pull_ms = MillisSince(pull_start);

  step = Clock::now();
  ASSIGN_OR_RETURN(result.container_id,
                   client.CreateContainer(result.sandbox_id, sandbox,
                                          {"hello", result.image_id, options.command, kLogName}));
  result.create_ms = MillisSince(step);
  step = Clock::now();
  RETURN_IF_ERROR(client.StartContainer(result.container_id));
  result.start_ms = MillisSince(step);
  RETURN_IF_ERROR(Await(client, options, pull_start, step, &result));
  if (options.keep) {
    guard.Keep();
  } else {
    RETURN_IF_ERROR(Stop(client, result));
    RETURN_IF_ERROR(guard.Remove());
  }
  return result;
}

std::string ToJson(const RunOptions& options, const RunResult& result) {
  const nlohmann::ordered_json json = {
      {"image", options.image},          {"image_id", result.image_id},
      {"sandbox_id", result.sandbox_id}, {"container_id", result.container_id},
      {"log_path", result.log_path},     {"sandbox_ms", result.sandbox_ms},
      {"pull_ms", result.pull_ms},       {"create_ms", result.create_ms},
      {"start_ms", result.start_ms},     {"first_output_ms", result.first_output_ms},
      {"ready_ms", result.ready_ms},     {"exited", result.exited},
      {"exit_code", result.exit_code},   {"output", result.output},
  };
  // Output need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace slacker::hellobench
