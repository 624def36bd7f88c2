// hellobench: runs images through a containerd's CRI socket and says how long each step took.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "cmd/hellobench/cri_client.h"
#include "cmd/hellobench/run.h"

namespace slacker::hellobench {
namespace {

struct Arguments {
  std::string socket = "/run/containerd/containerd.sock";
  int64_t timeout_seconds = 300;
  RunOptions run;
  bool json = false;
  std::vector<std::string> images;
  std::vector<std::string> sandboxes;
};

int Fail(const absl::Status& status) {
  (void)std::fprintf(stderr, "hellobench: %s\n", Message(status).c_str());
  return 1;
}

void PrintText(const RunResult& result) {
  (void)std::fwrite(result.output.data(), 1, result.output.size(), stdout);
  std::printf(
      "pull %.0f ms, create %.0f ms, start %.0f ms, first output %.0f ms after the start, "
      "ready %.0f ms after the pull began",
      result.pull_ms, result.create_ms, result.start_ms, result.first_output_ms, result.ready_ms);
  if (result.exited) std::printf(", exit code %d", result.exit_code);
  std::printf("\n");
}

// The container's exit code becomes ours.
int RunCommand(Arguments& arguments) {
  CriClient client(arguments.socket, std::chrono::seconds(arguments.timeout_seconds));
  arguments.run.timeout = std::chrono::seconds(arguments.timeout_seconds);
  std::error_code ignored;
  std::string directory = std::filesystem::temp_directory_path(ignored) / "hellobench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) return Fail(ErrnoError(errno, "mkdtemp " + directory));
  arguments.run.log_directory = directory;
  const absl::StatusOr<RunResult> result = RunOnce(client, arguments.run);
  if (!result.ok() || !arguments.run.keep) std::filesystem::remove_all(directory, ignored);
  if (!result.ok()) return Fail(result.status());
  if (arguments.json) {
    std::printf("%s\n", ToJson(arguments.run, *result).c_str());
  } else {
    PrintText(*result);
  }
  return result->exited ? result->exit_code : 0;
}

int RemoveCommand(const Arguments& arguments) {
  CriClient client(arguments.socket, std::chrono::seconds(arguments.timeout_seconds));
  for (const std::string& sandbox : arguments.sandboxes) {
    if (absl::Status status = client.RemoveSandbox(sandbox); !status.ok()) return Fail(status);
  }
  for (const std::string& image : arguments.images) {
    if (absl::Status status = client.RemoveImage(image); !status.ok()) return Fail(status);
  }
  return 0;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Runs images through CRI and measures every step.", "hellobench");
  app.set_version_flag("--version", SLACKER_VERSION);
  app.require_subcommand(1);
  const auto common = [&arguments](CLI::App* command) {
    command->add_option("--cri", arguments.socket, "containerd's socket")->capture_default_str();
    command->add_option("--timeout", arguments.timeout_seconds, "seconds for each call and run")
        ->check(CLI::Range(1, 86400))
        ->capture_default_str();
  };
  CLI::App* run = app.add_subcommand("run", "Pull an image, run a container, remove it");
  common(run);
  run->add_option("--image", arguments.run.image, "image reference")->required();
  run->add_option("--wait-output", arguments.run.wait_output,
                  "the run is over when the output contains this text");
  run->add_flag("--first-output", arguments.run.first_output,
                "the run is over at the container's first output");
  run->add_flag("--if-missing", arguments.run.pull_if_missing, "pull only a missing image");
  run->add_flag("--keep", arguments.run.keep, "leave the container in place");
  run->add_flag("--json", arguments.json, "print one JSON object");
  run->add_option("command", arguments.run.command, "command to run, after --");
  CLI::App* remove = app.add_subcommand("remove", "Remove sandboxes and images");
  common(remove);
  remove->add_option("--sandbox", arguments.sandboxes, "sandbox ID");
  remove->add_option("--image", arguments.images, "image reference");
  CLI11_PARSE(app, argc, argv);
  return run->parsed() ? RunCommand(arguments) : RemoveCommand(arguments);
}

}  // namespace
}  // namespace slacker::hellobench

int main(int argc, char** argv) { return slacker::hellobench::Main(argc, argv); }
