#include "cmd/hellobench/run/run.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "backend/base/status.h"
#include "cmd/hellobench/run/http_probe.h"
#include "cmd/hellobench/run/ready.h"

namespace slacker::hellobench {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

// Removing is asked for again, as the kubelet does it: where a container ends by itself at this very
// moment, containerd finds its shim gone and fails.
constexpr std::chrono::seconds kRemoveLimit{10};
constexpr int kRemoveIntervalMs = 10;
constexpr char kLogName[] = "container.log";

double MillisBetween(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - start).count();
}

double MillisSince(Clock::time_point start) { return MillisBetween(start, Clock::now()); }

absl::Status CheckInterrupted(const RunOptions& options) {
  const bool interrupted = options.interrupted != nullptr && *options.interrupted;
  return interrupted ? Cancelled("interrupted") : absl::OkStatus();
}

// Another server there would be taken for the container's.
absl::Status CheckPort(const Task& task) {
  const auto* port = std::get_if<ReadyPort>(&task.ready);
  if (port == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool taken, Listens(port->port));
  if (!taken) return absl::OkStatus();
  return FailedPrecondition("port " + std::to_string(port->port) +
                            " is in use on this node's network");
}

// Copies the folders, for any user to write to, and makes them the mounts.
absl::Status CopyMounts(const Task& task, const std::string& directory, ContainerSpec* spec) {
  int number = 0;
  for (const auto& [place, folder] : task.mounts) {
    const std::string copy = directory + "/mount" + std::to_string(number++);
    std::error_code error;
    fs::copy(folder, copy, fs::copy_options::recursive, error);
    if (error) return ErrnoError(error.value(), "copy " + folder + " to " + copy);
    const auto open_up = [&error](const fs::path& path) {
      fs::permissions(path, fs::perms::others_write | fs::perms::group_write, fs::perm_options::add,
                      error);
    };
    open_up(copy);
    for (fs::recursive_directory_iterator entry(copy, error), end; !error && entry != end;
         entry.increment(error)) {
      open_up(entry->path());
    }
    if (error) return ErrnoError(error.value(), "change modes in " + copy);
    spec->mounts[place] = copy;
  }
  return absl::OkStatus();
}

absl::Status MakeDirectory(RunResult* result) {
  std::error_code error;
  std::string name = fs::temp_directory_path(error) / "hellobench-XXXXXX";
  if (error) return ErrnoError(error.value(), "find a directory for temporary files");
  if (mkdtemp(name.data()) == nullptr) return ErrnoError(errno, "mkdtemp " + name);
  result->directory = name;
  result->log_path = name + "/" + kLogName;
  return absl::OkStatus();
}

// From the sandbox until the container is ready.
absl::Status RunTask(CriClient& client, const Task& task, const RunOptions& options,
                     RunResult* result) {
  ContainerSpec spec{.name = "hello",
                     .image = task.image,
                     .command = task.command,
                     .arguments = task.arguments,
                     .environment = task.environment,
                     .mounts = {},
                     .log_name = kLogName};
  RETURN_IF_ERROR(CheckInterrupted(options));
  RETURN_IF_ERROR(CheckPort(task));
  RETURN_IF_ERROR(CopyMounts(task, result->directory, &spec));
  const SandboxSpec sandbox{fs::path(result->directory).filename().string(), result->directory};
  Clock::time_point step = Clock::now();
  ASSIGN_OR_RETURN(result->sandbox_id, client.RunSandbox(sandbox));
  result->sandbox_ms = MillisSince(step);
  if (options.before_pull) RETURN_IF_ERROR(options.before_pull());

  RETURN_IF_ERROR(CheckInterrupted(options));
  const Clock::time_point pull_start = Clock::now();
  bool present = false;
  if (options.pull_if_missing) {
    ASSIGN_OR_RETURN(present, client.HasImage(task.image));
  }
  if (!present) {
    ASSIGN_OR_RETURN(spec.image, client.Pull(task.image));
  }
  result->image_id = spec.image;
  result->pull_ms = MillisSince(pull_start);

  RETURN_IF_ERROR(CheckInterrupted(options));
  step = Clock::now();
  ASSIGN_OR_RETURN(result->container_id, client.CreateContainer(result->sandbox_id, sandbox, spec));
  result->create_ms = MillisSince(step);
  step = Clock::now();
  RETURN_IF_ERROR(client.StartContainer(result->container_id));
  const Clock::time_point started = Clock::now();
  result->start_ms = MillisBetween(step, started);
  ASSIGN_OR_RETURN(const Clock::time_point ready,
                   AwaitReady(client, task, options, started, result));
  result->ready_ms = MillisBetween(step, ready);
  // The log is read a little later than an end is noted.
  result->first_output_ms = std::min(result->first_output_ms, result->ready_ms);
  result->total_ms = MillisBetween(pull_start, ready);
  return options.when_ready ? options.when_ready() : absl::OkStatus();
}

// The container is killed with its sandbox.
absl::Status RemoveAll(CriClient& client, const RunResult& result) {
  absl::Status removed;
  if (!result.sandbox_id.empty()) {
    const Clock::time_point start = Clock::now();
    removed = client.RemoveSandbox(result.sandbox_id);
    while (removed.code() == absl::StatusCode::kUnknown && Clock::now() - start < kRemoveLimit) {
      (void)poll(nullptr, 0, kRemoveIntervalMs);
      removed = client.RemoveSandbox(result.sandbox_id);
    }
  }
  std::error_code error;
  fs::remove_all(result.directory, error);
  if (removed.ok() && error) return ErrnoError(error.value(), "remove " + result.directory);
  return Annotate(removed, "remove sandbox " + result.sandbox_id);
}

}  // namespace

absl::Status RunOnce(CriClient& client, const Task& task, const RunOptions& options,
                     RunResult* result) {
  *result = RunResult();
  RETURN_IF_ERROR(MakeDirectory(result));
  const absl::Status ran = RunTask(client, task, options, result);
  if (ran.ok() && options.keep) return ran;
  const absl::Status removed = RemoveAll(client, *result);
  if (ran.ok()) return removed;
  return removed.ok() ? ran : Annotate(ran, Message(removed) + ", after");
}

}  // namespace slacker::hellobench
