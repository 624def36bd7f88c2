#include "cmd/hellobench/arguments.h"

#include <CLI/CLI.hpp>

namespace slacker::hellobench {

CommandLine::CommandLine()
    : app(std::make_unique<CLI::App>("Measures how images start: HelloBench, over CRI",
                                     "hellobench")) {
  app->set_version_flag("--version", SLACKER_VERSION);
  app->require_subcommand(1);
  const auto common = [this](CLI::App* command) {
    command->add_option("--cri", arguments.socket, "containerd's socket")->capture_default_str();
    command->add_option("--timeout", arguments.timeout_seconds, "seconds for each call and run")
        ->check(CLI::Range(1, 86400))
        ->capture_default_str();
  };
  run = app->add_subcommand("run", "Pull an image, run a container, remove it");
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
  remove = app->add_subcommand("remove", "Remove sandboxes and images");
  common(remove);
  remove->add_option("--sandbox", arguments.sandboxes, "sandbox ID");
  remove->add_option("--image", arguments.images, "image reference");
  list = app->add_subcommand("list", "Show the catalogue: images and their tasks");
  list->add_option("--catalogue", arguments.catalogues, "file with further images");
  list->add_option("--category", arguments.category, "only images of this category");
  list->add_flag("--json", arguments.json, "print one JSON array");
}

CommandLine::~CommandLine() = default;

}  // namespace slacker::hellobench
