// hellobench: runs images through a containerd's CRI socket and says how long each step took.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "cmd/hellobench/arguments.h"
#include "cmd/hellobench/catalogue/catalogue.h"
#include "cmd/hellobench/cri_client.h"
#include "cmd/hellobench/run.h"

namespace slacker::hellobench {
namespace {

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

absl::StatusOr<std::vector<Image>> ListedImages(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Catalogue catalogue, OpenCatalogue(arguments.catalogues));
  if (arguments.category.empty()) return catalogue.images();
  absl::StatusOr<Category> category = CategoryOf(arguments.category);
  if (!category.ok()) return Annotate(category.status(), "--category");
  return catalogue.InCategory(*category);
}

int ListCommand(const Arguments& arguments) {
  const absl::StatusOr<std::vector<Image>> images = ListedImages(arguments);
  if (!images.ok()) return Fail(images.status());
  const std::string text = arguments.json ? ToJson(*images) + "\n" : ToText(*images);
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int Main(int argc, char** argv) {
  CommandLine line;
  CLI11_PARSE(*line.app, argc, argv);
  if (line.list->parsed()) return ListCommand(line.arguments);
  return line.run->parsed() ? RunCommand(line.arguments) : RemoveCommand(line.arguments);
}

}  // namespace
}  // namespace slacker::hellobench

int main(int argc, char** argv) { return slacker::hellobench::Main(argc, argv); }
