// hellobench's command line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cmd/hellobench/catalogue/task.h"
#include "cmd/hellobench/run/run.h"

namespace CLI {
class App;
}  // namespace CLI

namespace slacker::hellobench {

struct Arguments {
  std::string socket = "/run/containerd/containerd.sock";
  int64_t timeout_seconds = 300;
  bool json = false;
  std::vector<std::string> catalogues;  // files beside the installed one
  std::string category;                 // "" = all
  // run: names in the catalogue, or with `image` the command.
  std::vector<std::string> words;
  std::string image;
  std::string wait_output;
  bool first_output = false;
  RunOptions run;
  // remove.
  std::vector<std::string> images;
  std::vector<std::string> sandboxes;
};

// The task of `run --image`.
Task FreeTask(const Arguments& arguments);

// The definition, and what was read by it.
struct CommandLine {
  Arguments arguments;
  std::unique_ptr<CLI::App> app;
  CLI::App* run = nullptr;  // of `app`, as the next
  CLI::App* remove = nullptr;
  CLI::App* list = nullptr;

  CommandLine();
  ~CommandLine();
};

}  // namespace slacker::hellobench
