#include "cmd/hellobench/measure_verb.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "backend/base/random.h"
#include "backend/base/status.h"
#include "cmd/hellobench/plan/machine.h"
#include "cmd/hellobench/plan/measurement.h"
#include "cmd/hellobench/plan/progress.h"
#include "cmd/hellobench/plan/results_file.h"
#include "cmd/hellobench/plan/scenarios.h"
#include "cmd/hellobench/site/site_options.h"
#include "cmd/hellobench/site/start_words.h"

namespace slacker::hellobench {
namespace {

// Every snapshotter with every store that was asked for and that it can read from.
absl::StatusOr<std::vector<System>> SystemsOf(const MeasureArguments& arguments,
                                              const Snapshotters& known) {
  std::vector<System> systems;
  for (const std::string& name : arguments.snapshotters) {
    ASSIGN_OR_RETURN(const Snapshotter* snapshotter, known.Find(name));
    if (snapshotter->stores.empty()) {
      systems.push_back({name, ""});
      continue;
    }
    const size_t before = systems.size();
    for (const std::string& store : arguments.stores) {
      const auto& can = snapshotter->stores;
      if (std::find(can.begin(), can.end(), store) != can.end()) systems.push_back({name, store});
    }
    if (systems.size() == before) {
      return InvalidArgument(name + " reads from none of the stores of --store");
    }
  }
  if (std::set(systems.begin(), systems.end()).size() != systems.size()) {
    return InvalidArgument("--snapshotter and --store name something twice");
  }
  return systems;
}

absl::StatusOr<std::vector<Image>> PresentImages(const MeasureArguments& arguments,
                                                 const std::vector<Image>& images, bool named) {
  std::vector<Image> present;
  for (const Image& image : images) {
    const auto config = ReadImageConfig(arguments.layout, image.name);
    if (config.ok()) {
      present.push_back(image);
    } else if (named || !absl::IsNotFound(config.status())) {
      return Annotate(config.status(), "hellobench images build, or pull");
    }
  }
  if (present.empty()) return NotFound(arguments.layout + " has none of the images");
  return present;
}

absl::StatusOr<std::vector<Image>> ImagesOf(const Scenario& scenario,
                                            const MeasureArguments& arguments,
                                            const std::string& data) {
  Catalogue catalogue;
  RETURN_IF_ERROR(catalogue.AddFile(data + "/scenarios.toml"));
  std::vector<Image> images;
  for (const std::string& name : scenario.images) {
    ASSIGN_OR_RETURN(const Image* image, catalogue.Find(name));
    images.push_back(*image);
  }
  return PresentImages(arguments, images, /*named=*/true);
}

}  // namespace

absl::Status MeasureImages(const MeasureArguments& arguments, const std::vector<Image>& images,
                           bool named, const std::vector<std::string>& command,
                           const std::atomic<bool>* interrupted) {
  ASSIGN_OR_RETURN(const std::string data, DataDirectory());
  ASSIGN_OR_RETURN(const Scenario* scenario, FindScenario(arguments.scenario));
  SiteOptions options;
  ASSIGN_OR_RETURN(options.snapshotters, OpenSnapshotters(data, arguments.snapshotter_files));
  ASSIGN_OR_RETURN(const std::vector<System> systems, SystemsOf(arguments, options.snapshotters));
  ASSIGN_OR_RETURN(const std::vector<Image> present, scenario->images.empty()
                                                         ? PresentImages(arguments, images, named)
                                                         : ImagesOf(*scenario, arguments, data));
  std::vector<Link> links;
  for (const std::string& name : arguments.links) {
    ASSIGN_OR_RETURN(links.emplace_back(), ParseLink(name));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<ResultsFile> file, ResultsFile::Open(arguments.results));
  options.directory = std::filesystem::absolute(arguments.work).string() + "/hellobench-" +
                      std::to_string(getpid());
  options.layout = arguments.layout;
  options.data = data;
  options.containerd_directory = arguments.containerd;
  options.program_directories = arguments.programs;
  for (const Image& image : present) options.tasks[image.name] = image.task;
  options.interrupted = interrupted;
  ASSIGN_OR_RETURN(const std::unique_ptr<Site> site, OpenSite(options));

  Session session{.id = RandomHex(),
                  .command = command,
                  .seed = arguments.seed == 0 ? std::random_device()() : arguments.seed,
                  .machine = ThisMachine(),
                  .versions = site->Versions()};
  session.versions["hellobench"] = SLACKER_VERSION;
  std::printf("%zu images, %zu systems, %zu links, %lld times; seed %llu\n", present.size(),
              systems.size(), links.size(), static_cast<long long>(arguments.repetitions),
              static_cast<unsigned long long>(session.seed));
  size_t failed = 0;
  ProgressDisplay display(stdout, stderr, isatty(STDERR_FILENO) == 1);
  const MeasureHooks hooks{
      .take = [&](const Result& result) -> absl::Status {
        failed += result.error.empty() ? 0 : 1;
        display.Show(result);
        return file->Add(result);
      },
      .progress = [&](const MeasureProgress& progress) { display.Show(progress); }};
  MeasureOptions measure{.scenario = arguments.scenario,
                         .links = std::move(links),
                         .repetitions = arguments.repetitions,
                         .start = {.nodes = arguments.nodes,
                                   .drop_server_cache = arguments.server_cache == "dropped",
                                   .second = scenario->second,
                                   .load = std::chrono::seconds(arguments.long_running_seconds),
                                   .interrupted = interrupted}};
  measure.at_once = scenario->at_once.empty() ? std::vector{arguments.at_once} : scenario->at_once;
  RETURN_IF_ERROR(Measure(*site, present, systems, session, measure, SystemClock(), hooks));
  if (failed == 0) return absl::OkStatus();
  return FailedPrecondition(std::to_string(failed) + " results are failures");
}

}  // namespace slacker::hellobench
