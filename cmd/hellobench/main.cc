// hellobench: measures how images start, through a containerd's CRI socket.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "cmd/hellobench/arguments.h"
#include "cmd/hellobench/catalogue/catalogue.h"
#include "cmd/hellobench/cri/cri_client.h"
#include "cmd/hellobench/images/pull.h"
#include "cmd/hellobench/report/compare.h"
#include "cmd/hellobench/report/report.h"
#include "cmd/hellobench/run/run.h"

namespace slacker::hellobench {
namespace {

// Set by a signal, whose number stands beside it: what is running is removed before the program ends.
std::atomic<bool> interrupted = false;
std::atomic<int> interrupted_by = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

constexpr int kExitUsage = 2;
constexpr int kExitOfSignal = 128;  // and its number, as shells have it

void HandleInterrupts() {
  struct sigaction action {};
  action.sa_handler = [](int number) {
    interrupted_by = number;
    interrupted = true;
  };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) (void)sigaction(number, &action, nullptr);
}

int Fail(const absl::Status& status) {
  (void)std::fprintf(stderr, "hellobench: %s\n", Message(status).c_str());
  return interrupted ? kExitOfSignal + interrupted_by : 1;
}

void Print(const std::string& text) {
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  (void)std::fflush(stdout);
}

// The container's exit code becomes ours.
int RunImage(const Arguments& arguments, CriClient& client) {
  const Task task = FreeTask(arguments);
  RunResult result;
  const absl::Status ran = RunOnce(client, task, arguments.run, &result);
  if (!ran.ok()) return Fail(ran);
  if (arguments.json) {
    Print(ToJson("", task, ran, result) + "\n");
  } else {
    Print(result.output + ToText("", ran, result) + "\n");
  }
  return result.exited ? result.exit_code : 0;
}

absl::StatusOr<std::vector<Image>> ChosenImages(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Catalogue catalogue, OpenCatalogue(arguments.catalogues));
  std::vector<Image> chosen;
  if (!arguments.category.empty()) {
    const absl::StatusOr<Category> category = CategoryOf(arguments.category);
    if (!category.ok()) return Annotate(category.status(), "--category");
    chosen = catalogue.InCategory(*category);
  }
  for (const std::string& name : arguments.words) {
    ASSIGN_OR_RETURN(const Image* image, catalogue.Find(name));
    chosen.push_back(*image);
  }
  return arguments.category.empty() && arguments.words.empty() ? catalogue.images() : chosen;
}

// A run that fails is a result, and the next one follows.
int RunImages(const Arguments& arguments, CriClient& client) {
  if (arguments.words.empty() && arguments.category.empty()) {
    return Fail(InvalidArgument("run what? Names of the catalogue, --category or --image"));
  }
  const absl::StatusOr<std::vector<Image>> images = ChosenImages(arguments);
  if (!images.ok()) return Fail(images.status());
  int failed = 0;
  for (const Image& image : *images) {
    Task task = image.task;
    if (!arguments.registry.empty()) task.image = BuiltReference(arguments.registry, image.name);
    RunResult result;
    const absl::Status ran = RunOnce(client, task, arguments.run, &result);
    Print(
        (arguments.json ? ToJson(image.name, task, ran, result) : ToText(image.name, ran, result)) +
        "\n");
    if (!ran.ok()) ++failed;
    if (interrupted) return Fail(Cancelled("interrupted"));
  }
  return failed == 0 ? 0 : 1;
}

int RunCommand(const Arguments& arguments) {
  HandleInterrupts();
  CriClient client(arguments.socket, std::chrono::seconds(arguments.timeout_seconds), &interrupted);
  return arguments.image.empty() ? RunImages(arguments, client) : RunImage(arguments, client);
}

int MeasureCommand(const Arguments& arguments, const std::vector<std::string>& command) {
  HandleInterrupts();
  const absl::StatusOr<std::vector<Image>> images = ChosenImages(arguments);
  if (!images.ok()) return Fail(images.status());
  const absl::Status measured =
      MeasureImages(arguments.measure, *images, !arguments.words.empty(), command, &interrupted);
  return measured.ok() ? 0 : Fail(measured);
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

int ListCommand(const Arguments& arguments) {
  const absl::StatusOr<std::vector<Image>> images = ChosenImages(arguments);
  if (!images.ok()) return Fail(images.status());
  Print(arguments.json ? ToJson(*images) + "\n" : ToText(*images));
  return 0;
}

absl::StatusOr<Platform> ChosenPlatform(const Arguments& arguments) {
  if (arguments.platform.empty()) return HostPlatform();
  return ParsePlatform(arguments.platform);
}

int PullCommand(const Arguments& arguments) {
  const absl::StatusOr<std::vector<Image>> images = ChosenImages(arguments);
  if (!images.ok()) return Fail(images.status());
  const absl::StatusOr<Platform> platform = ChosenPlatform(arguments);
  if (!platform.ok()) return Fail(platform.status());
  int code = 0;
  PullImages(*images, *platform, arguments.layout, [&code](const Image& image, const auto& pulled) {
    if (pulled.ok()) return Print(ToText(image, *pulled));
    code = Fail(Annotate(pulled.status(), image.name));
  });
  return code;
}

// Building is scripts' work, beside this program. Returns only if they cannot be started.
int ImagesCommand(const CommandLine& line) {
  const absl::StatusOr<std::string> data = DataDirectory();
  if (!data.ok()) return Fail(data.status());
  const Arguments& arguments = line.arguments;
  std::vector<std::string> words = {*data + "/images/images"};
  if (line.images_build->parsed()) {
    words.insert(words.end(), {"build", "--out", arguments.layout, "--cache", arguments.cache});
  } else if (line.images_push->parsed()) {
    words.insert(words.end(),
                 {"push", "--from", arguments.layout, "--registry", arguments.registry});
  } else if (line.images_dedup->parsed()) {
    words.insert(words.end(), {"dedup", "--from", arguments.layout});
  } else {
    words.push_back("list");
  }
  if (arguments.json) words.push_back("--json");
  words.insert(words.end(), arguments.words.begin(), arguments.words.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  (void)execv(argv[0], argv.data());
  return Fail(ErrnoError(errno, "start " + words[0]));
}

int ReportCommand(const Arguments& arguments) {
  const absl::Status written = WriteReport(arguments.report);
  return written.ok() ? 0 : Fail(written);
}

int CompareCommand(const Arguments& arguments) {
  const absl::StatusOr<std::string> text =
      CompareFiles(arguments.before, arguments.after, arguments.json);
  if (!text.ok()) return Fail(text.status());
  Print(*text);
  return 0;
}

int Main(int argc, char** argv) {
  CommandLine line;
  try {
    line.app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return line.app->exit(error) == 0 ? 0 : kExitUsage;
  }
  line.arguments.run.interrupted = &interrupted;
  if (line.list->parsed()) return ListCommand(line.arguments);
  if (line.report->parsed()) return ReportCommand(line.arguments);
  if (line.compare->parsed()) return CompareCommand(line.arguments);
  if (line.run->parsed()) return RunCommand(line.arguments);
  if (line.images_pull->parsed()) return PullCommand(line.arguments);
  if (line.measure->parsed()) {
    return MeasureCommand(line.arguments, std::vector<std::string>(argv, argv + argc));
  }
  return line.remove->parsed() ? RemoveCommand(line.arguments) : ImagesCommand(line);
}

}  // namespace
}  // namespace slacker::hellobench

int main(int argc, char** argv) { return slacker::hellobench::Main(argc, argv); }
