// hellobench's command line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cmd/hellobench/catalogue/task.h"
#include "cmd/hellobench/measure_verb.h"
#include "cmd/hellobench/report/report.h"
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
  std::string registry;  // "": images are where the catalogue says
  std::string wait_output;
  bool first_output = false;
  RunOptions run;
  MeasureArguments measure;
  // images: build, pull, push, list.
  std::string layout;
  std::string platform;  // "" = this machine's
  std::string cache = "/var/cache/hellobench";
  // remove.
  std::vector<std::string> images;
  std::vector<std::string> sandboxes;
  ReportOptions report;
  // compare: two files of results.
  std::string before;
  std::string after;
};

// The task of `run --image`.
Task FreeTask(const Arguments& arguments);

// What `images push` makes of an image's name, and `run --registry` runs.
std::string BuiltReference(const std::string& registry, const std::string& name);

// The definition, and what was read by it.
struct CommandLine {
  Arguments arguments;
  std::unique_ptr<CLI::App> app;
  CLI::App* run = nullptr;  // of `app`, as the next
  CLI::App* measure = nullptr;
  CLI::App* remove = nullptr;
  CLI::App* list = nullptr;
  CLI::App* images_build = nullptr;  // of "images", as the next
  CLI::App* images_pull = nullptr;
  CLI::App* images_push = nullptr;
  CLI::App* images_dedup = nullptr;
  CLI::App* images_list = nullptr;
  CLI::App* report = nullptr;  // of `app`, as the next
  CLI::App* compare = nullptr;

  CommandLine();
  ~CommandLine();

 private:
  void AddMeasure();
};

}  // namespace slacker::hellobench
