#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/status.h"
#include "backend/publish/publisher.h"
#include "backend/base/image_reference.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs.h"

namespace slacker::ctl {
namespace {

// Where docker keeps credentials; empty when there is no home directory.
std::string DockerConfigPath() {
  if (const char* directory = std::getenv("DOCKER_CONFIG"); directory != nullptr) {
    return std::string(directory) + "/config.json";
  }
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.docker/config.json";
}

absl::StatusOr<PublishOptions> MakeOptions(const PublishArguments& arguments) {
  PublishOptions options;
  if (!arguments.platform.empty()) {
    ASSIGN_OR_RETURN(options.platform, ParsePlatform(arguments.platform));
  }
  options.chunk_size = static_cast<uint32_t>(arguments.chunk_size);
  options.store.zstd_level = arguments.zstd_level;
  if (!arguments.private_repository.empty()) {
    ASSIGN_OR_RETURN(const ImageReference reference,
                     ParseImageReference(arguments.private_repository));
    options.private_repository = reference.RepositoryName();
  }
  ASSIGN_OR_RETURN(options.store.trusted_keys, ReadPublicKeys(arguments.trusted_keys));
  if (!arguments.key.empty()) {
    ASSIGN_OR_RETURN(options.store.key, ReadSigningKey(arguments.key));
  }
  return options;
}

absl::StatusOr<PublishedImage> PublishOne(const std::string& spec,
                                          const std::shared_ptr<Backend>& store,
                                          const PublishOptions& options, const Console& console) {
  SourceOptions source_options;
  source_options.docker_config_path = DockerConfigPath();
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageSource> source,
                   OpenImageSource(spec, source_options));
  ProgressDisplay display(&console, &SystemClock(), source->Name());
  absl::StatusOr<PublishedImage> published =
      Publish(*source, store, options,
              [&display](const PublishProgress& progress) { display.Update(progress); });
  display.Clear();
  return published;
}

void PrintPublished(const PublishedImage& image, const Console& console) {
  const PublishProgress& totals = image.totals;
  console.out << "published " << Printable(image.entry.name) << " ("
              << FormatPlatform(image.entry.platform) << ") as " << image.entry.chain_id.ToString()
              << ": " << totals.layers << " layers, " << totals.layers_reused
              << " in the store already, " << HumanSize(totals.downloaded_bytes) << " downloaded, "
              << HumanSize(totals.stored_bytes) << " stored" << std::endl;
}

}  // namespace

int RunPublish(const CommonArguments& common, const PublishArguments& arguments,
               const Console& console) {
  const absl::StatusOr<PublishOptions> options = MakeOptions(arguments);
  if (!options.ok()) {
    PrintError(console.err, options.status());
    return kExitUsage;
  }
  const absl::StatusOr<std::shared_ptr<Backend>> store = OpenBackend(common.store);
  if (!store.ok()) {
    PrintError(console.err, store.status());
    return kExitFailed;
  }
  if (!options->store.key.has_value() && (*store)->IsNetwork()) {
    console.err << "warning: without --key the images are unsigned, and nodes refuse such a store "
                   "on a network unless they are told that it may be insecure"
                << std::endl;
  }
  int exit_code = kExitOk;
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& spec : arguments.sources) {
    const absl::StatusOr<PublishedImage> image = PublishOne(spec, *store, *options, console);
    if (!image.ok()) {
      PrintError(console.err, image.status());
      exit_code = kExitFailed;
    } else if (common.json) {
      nlohmann::json result = ImageJson(image->entry);
      result["layers"] = image->totals.layers;
      result["layers_reused"] = image->totals.layers_reused;
      result["downloaded_bytes"] = image->totals.downloaded_bytes;
      result["stored_bytes"] = image->totals.stored_bytes;
      results.push_back(std::move(result));
    } else {
      PrintPublished(*image, console);
    }
  }
  if (common.json) PrintJson(console.out, results);
  return exit_code;
}

}  // namespace slacker::ctl
