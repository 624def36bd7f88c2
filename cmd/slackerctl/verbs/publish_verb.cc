#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/publish/publisher.h"
#include "cmd/common/image_sources.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs/serve_requests.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct Arguments {
  CommonArguments common;
  std::vector<std::string> sources;
  bool serve = false;
  std::string platform;  // empty: the host's
  uint64_t chunk_size = Layer().chunk_size;
  int zstd_level = StoreWriter::Options().zstd_level;
  std::string private_repository;  // empty: as the source says
  std::string hosts_directory = "/etc/containerd/certs.d";
  std::string key;                        // file; empty: unsigned
  std::vector<std::string> trusted_keys;  // files
};

absl::StatusOr<PublishOptions> MakeOptions(const Arguments& arguments) {
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
                                          const SourceOptions& source_options,
                                          const PublishOptions& options, const Console& console) {
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

// One after the other; a source that fails does not keep the others from being published.
int RunPublish(const Arguments& arguments, const Console& console) {
  const absl::StatusOr<PublishOptions> options = MakeOptions(arguments);
  if (!options.ok()) {
    PrintError(console.err, options.status());
    return kExitUsage;
  }
  if (arguments.serve) BlockStopSignals();
  const absl::StatusOr<std::shared_ptr<Backend>> store = OpenBackend(arguments.common.store);
  if (!store.ok()) {
    PrintError(console.err, store.status());
    return kExitFailed;
  }
  if (!options->store.key.has_value() && (*store)->IsNetwork()) {
    console.err << "warning: without --key the images are unsigned, and nodes refuse such a store "
                   "on a network unless they are told that it may be insecure"
                << std::endl;
  }
  SourceOptions source_options;
  source_options.registry.credential_files = DefaultCredentialFiles();
  source_options.registry.hosts_directory = arguments.hosts_directory;
  if (arguments.serve) return ServeRequests(*store, *options, source_options, console);
  int exit_code = kExitOk;
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& spec : arguments.sources) {
    const absl::StatusOr<PublishedImage> image =
        PublishOne(spec, *store, source_options, *options, console);
    if (!image.ok()) {
      PrintError(console.err, image.status());
      exit_code = kExitFailed;
    } else if (arguments.common.json) {
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
  if (arguments.common.json) PrintJson(console.out, results);
  return exit_code;
}

std::string CheckChunkSize(const std::string& text) {
  uint64_t size = 0;
  const bool number = CLI::detail::lexical_cast(text, size);
  const bool good =
      number && size >= kMinChunkSize && size <= kMaxChunkSize && (size & (size - 1)) == 0;
  return good ? "" : "the chunk size must be a power of two from 4096 to 262144";
}

Action DeclarePublish(CLI::App* command) {
  auto arguments = std::make_shared<Arguments>();
  command->add_option("SOURCE", arguments->sources,
                      "docker://REFERENCE, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or "
                      "docker-archive:FILE[:NAME]");
  command->add_flag("--serve", arguments->serve,
                    "Publish what nodes request, until a signal ends it, instead of SOURCE");
  AddCommon(command, &arguments->common);
  AddPlatform(command, &arguments->platform);
  command->add_option("--chunk-size", arguments->chunk_size, "Bytes in a chunk")
      ->check(CLI::Validator(CheckChunkSize, "BYTES"))
      ->capture_default_str();
  command->add_option("--zstd-level", arguments->zstd_level, "How hard to compress")
      ->check(CLI::Range(1, 19))
      ->capture_default_str();
  command->add_option("--private", arguments->private_repository,
                      "Repository whose readers alone may have the images (default: as its "
                      "registry says; layouts are for everybody)");
  command
      ->add_option("--hosts-dir", arguments->hosts_directory,
                   "Directory of containerd's hosts.toml files: mirrors and certificates")
      ->capture_default_str();
  AddSigningKey(command, &arguments->key);
  AddTrustedKeys(command, &arguments->trusted_keys);
  command->callback([arguments] {
    if (arguments->serve != arguments->sources.empty()) {
      throw CLI::ValidationError("SOURCE", "is required, or else --serve");
    }
  });
  return [arguments](const Console& console) { return RunPublish(*arguments, console); };
}

}  // namespace

const Verb kPublishVerb = {"publish", "Put images into the store", DeclarePublish};

}  // namespace slacker::ctl
