#include "cmd/hellobench/arguments.h"

#include <CLI/CLI.hpp>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "cmd/hellobench/plan/scenarios.h"

namespace slacker::hellobench {

Task FreeTask(const Arguments& arguments) {
  Task task;
  task.image = arguments.image;
  task.command = arguments.words;
  task.time_limit_seconds = arguments.timeout_seconds;
  if (arguments.first_output) {
    task.ready = ReadyLine();
  } else if (!arguments.wait_output.empty()) {
    task.ready = ReadyLine{arguments.wait_output};
  } else {
    task.ready = ReadyExit{.any_code = true};
  }
  return task;
}

std::string BuiltReference(const std::string& registry, const std::string& name) {
  return registry + "/hellobench/" + name + ":latest";
}

namespace {

std::string ScenarioHelp() {
  std::string text = "what is measured:";
  for (const Scenario& scenario : Scenarios()) {
    text += (&scenario == &Scenarios().front() ? " " : "; ") + std::string(scenario.name) + ": " +
            std::string(scenario.about);
  }
  return text;
}

}  // namespace

CommandLine::CommandLine()
    : app(std::make_unique<CLI::App>("Measures how images start: HelloBench, over CRI",
                                     "hellobench")) {
  app->set_version_flag("--version", SLACKER_VERSION);
  app->require_subcommand(1);
  const auto common = [this](CLI::App* command) {
    command->add_option("--cri", arguments.socket, "containerd's socket")->capture_default_str();
    command
        ->add_option("--timeout", arguments.timeout_seconds,
                     "seconds for each call, and for the container of --image")
        ->check(CLI::Range(1, 86400))
        ->capture_default_str();
  };
  const auto chooses = [this](CLI::App* command) {
    command->add_option("--catalogue", arguments.catalogues, "file with further images");
    return command->add_option("--category", arguments.category, "the images of this category");
  };
  run = app->add_subcommand("run", "Run images of the catalogue, or another one, and remove them");
  common(run);
  CLI::Option* category = chooses(run);
  CLI::Option* image = run->add_option("--image", arguments.image,
                                       "another image, which the command after -- is for")
                           ->excludes(category);
  CLI::Option* wait = run->add_option("--wait-output", arguments.wait_output,
                                      "the run is over when the output contains this text");
  CLI::Option* first = run->add_flag("--first-output", arguments.first_output,
                                     "the run is over at the container's first output");
  run->add_option("--registry", arguments.registry,
                  "take images from this one, where `images push` put them")
      ->excludes(image);
  wait->needs(image);
  first->needs(image)->excludes(wait);
  run->add_flag("--if-missing", arguments.run.pull_if_missing, "pull only a missing image");
  run->add_flag("--keep", arguments.run.keep, "leave the container in place");
  run->add_flag("--json", arguments.json, "print one JSON object for each run");
  run->add_option("name", arguments.words,
                  "image of the catalogue; with --image the command to run, after --");
  AddMeasure();
  chooses(measure);
  measure->add_option("name", arguments.words,
                      "image of the catalogue; all of the layout without one");
  remove = app->add_subcommand("remove", "Remove sandboxes and images");
  common(remove);
  remove->add_option("--sandbox", arguments.sandboxes, "sandbox ID");
  remove->add_option("--image", arguments.images, "image reference");
  list = app->add_subcommand("list", "Show the catalogue: images and their tasks");
  chooses(list);
  list->add_flag("--json", arguments.json, "print one JSON array");
  CLI::App* images =
      app->add_subcommand("images", "Get images of the catalogue, with and without a registry");
  images->require_subcommand(1);
  images_build = images->add_subcommand("build", "Build images from packages");
  images_build->add_option("name", arguments.words, "image of the catalogue; all without one");
  images_build->add_option("--out", arguments.layout, "OCI image layout that gets them")
      ->required();
  images_build->add_option("--cache", arguments.cache, "where layers are kept")
      ->capture_default_str();
  images_pull =
      images->add_subcommand("pull", "Take the images that registries have into a layout");
  chooses(images_pull);
  images_pull->add_option("name", arguments.words, "image of the catalogue; all without one");
  images_pull->add_option("--out", arguments.layout, "OCI image layout that gets them")->required();
  images_pull->add_option("--platform", arguments.platform, "os/arch[/variant]; this machine's")
      ->check([](const std::string& text) { return Message(ParsePlatform(text).status()); });
  images_push = images->add_subcommand("push", "Push a layout's images to a registry");
  images_push->add_option("name", arguments.words, "image of the layout; all without one");
  images_push->add_option("--from", arguments.layout, "OCI image layout that has them")->required();
  images_push->add_option("--registry", arguments.registry, "HOST:PORT, plain HTTP")->required();
  images_dedup = images->add_subcommand("dedup", "Say what a layout's images have in common");
  images_dedup->add_option("name", arguments.words, "image of the layout; all without one");
  images_dedup->add_option("--from", arguments.layout, "OCI image layout that has them")
      ->required();
  images_dedup->add_flag("--json", arguments.json, "print one JSON object");
  images_list = images->add_subcommand("list", "Say what can be built, and why the others cannot");
  images_list->add_flag("--json", arguments.json, "print one JSON array");
  report = app->add_subcommand("report", "Make a page of results");
  report->add_option("RESULTS", arguments.report.files, "files of results, put together")
      ->required();
  report->add_option("--out", arguments.report.page,
                     "HTML page; report.html unless only Markdown is asked for");
  report->add_option("--markdown", arguments.report.markdown,
                     "the same as Markdown; - is the standard output");
  compare = app->add_subcommand(
      "compare",
      "Compare two measurements of the same setups: ratios of medians with 95 % intervals, by "
      "bootstrap (percentiles of 2000 resamples, always the same)");
  compare->add_option("A", arguments.before, "results before")->required();
  compare->add_option("B", arguments.after, "results after")->required();
  compare->add_flag("--json", arguments.json, "print one JSON object");
}

void CommandLine::AddMeasure() {
  MeasureArguments& to = arguments.measure;
  measure = app->add_subcommand("measure", "Measure images on snapshotters, on nodes made for it");
  measure->add_option("--scenario", to.scenario, ScenarioHelp())->capture_default_str();
  measure->add_option("--from", to.layout, "OCI image layout that has them")->required();
  measure->add_option("--snapshotter", to.snapshotters, "names, with commas between them")
      ->delimiter(',')
      ->capture_default_str();
  measure->add_option("--store", to.stores, "loopback, nfs, https: where published images are")
      ->delimiter(',')
      ->capture_default_str();
  measure->add_option("--link", to.links, "between servers and nodes, as in loopback,200mbit-10ms")
      ->delimiter(',')
      ->capture_default_str();
  measure->add_option("--nodes", to.nodes, "that start it at the same time")
      ->check(CLI::Range(1, 250))
      ->capture_default_str();
  measure
      ->add_option("--at-once", to.at_once, "containers that start on each node at the same time")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  measure->add_option("--repetitions", to.repetitions, "of every image on every snapshotter")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  measure->add_option("--seed", to.seed, "of the order of the runs; 0: any")->capture_default_str();
  measure->add_option("--server-cache", to.server_cache, "the servers' page cache at each start")
      ->check(CLI::IsMember({"dropped", "warm"}))
      ->capture_default_str();
  measure
      ->add_option("--long-running", to.long_running_seconds,
                   "seconds of load on what goes on after it is ready; 0: none")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  measure->add_option("--results", to.results, "file that results are added to")
      ->capture_default_str();
  measure->add_option("--work", to.work, "directory that the nodes' own goes into")
      ->capture_default_str();
  measure->add_option("--containerd", to.containerd,
                      "directory of containerd and ctr (default: PATH)");
  measure->add_option("--programs", to.programs, "directory of other programs, before PATH");
  measure->add_option("--snapshotters", to.snapshotter_files, "file with further snapshotters");
}

CommandLine::~CommandLine() = default;

}  // namespace slacker::hellobench
