#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "absl/strings/numbers.h"
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

struct PublishArguments {
  CommonArguments common;
  std::vector<std::string> sources;
  bool serve = false;
  std::string node;  // root of the slackerd that is served; empty: requests of the store are
  std::vector<std::string> platforms;  // empty: the host's
  bool all_platforms = false;
  uint64_t chunk_size = Layer().chunk_size;
  int zstd_level = StoreWriter::Options().zstd_level;
  std::string private_repository;  // empty: as the source says
  bool for_everybody = false;
  ContainerdOptions containerd;
  std::string hosts_directory = "/etc/containerd/certs.d";
  std::string key;                        // file; empty: unsigned
  std::vector<std::string> trusted_keys;  // files
};

absl::StatusOr<PublishOptions> MakeOptions(const PublishArguments& arguments) {
  PublishOptions options;
  options.for_everybody = arguments.for_everybody;
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

absl::StatusOr<std::vector<Platform>> ParsePlatforms(const std::vector<std::string>& texts) {
  std::vector<Platform> platforms;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(platforms.emplace_back(), ParsePlatform(text));
  }
  if (platforms.empty()) platforms.push_back(HostPlatform());
  return platforms;
}

// What all sources are published with.
struct Setting {
  SourceOptions source;
  PublishOptions options;
  std::vector<Platform> platforms;  // none: all that a source has
  std::shared_ptr<Backend> store;
};

absl::StatusOr<Setting> MakeSetting(const PublishArguments& arguments) {
  Setting setting;
  setting.source.registry.credential_files = DefaultCredentialFiles();
  setting.source.registry.hosts_directory = arguments.hosts_directory;
  setting.source.containerd = arguments.containerd;
  ASSIGN_OR_RETURN(setting.options, MakeOptions(arguments));
  if (!arguments.all_platforms) {
    ASSIGN_OR_RETURN(setting.platforms, ParsePlatforms(arguments.platforms));
  }
  return setting;
}

absl::StatusOr<PublishedImage> PublishOne(ImageSource& source, const Platform& platform,
                                          const Setting& setting, const Console& console) {
  PublishOptions options = setting.options;
  options.platform = platform;
  ProgressDisplay display(&console, &SystemClock(), source.Name());
  absl::StatusOr<PublishedImage> published =
      Publish(source, setting.store, options,
              [&display](const PublishProgress& progress) { display.Update(progress); });
  display.Clear();
  return published;
}

// One result, or error, for each platform.
std::vector<absl::StatusOr<PublishedImage>> PublishAll(const std::string& spec,
                                                       const Setting& setting,
                                                       const Console& console) {
  auto source = OpenImageSource(spec, setting.source);
  if (!source.ok()) return {source.status()};
  std::vector<Platform> platforms = setting.platforms;
  if (platforms.empty()) {
    auto found = ListPlatforms(**source);
    if (!found.ok()) return {Annotate(found.status(), (*source)->Name())};
    platforms = *std::move(found);
  }
  std::vector<absl::StatusOr<PublishedImage>> results;
  for (const Platform& platform : platforms) {
    if (!source.ok()) {
      results.emplace_back(source.status());
      continue;
    }
    results.push_back(PublishOne(**source, platform, setting, console));
    // A publication that failed has cancelled its source.
    if (!results.back().ok()) source = OpenImageSource(spec, setting.source);
  }
  return results;
}

void PrintPublished(const PublishedImage& image, const Console& console) {
  const PublishProgress& totals = image.totals;
  console.out << "published " << Printable(image.entry.name) << " ("
              << FormatPlatform(image.entry.platform) << ") as " << image.entry.chain_id.ToString()
              << ": " << Counted(totals.layers, "layer") << ", " << totals.layers_reused
              << " in the store already, " << HumanSize(totals.downloaded_bytes) << " downloaded, "
              << HumanSize(totals.stored_bytes) << " stored"
              << (image.repository.empty() ? "" : ", for readers of " + image.repository + " alone")
              << std::endl;
}

nlohmann::json PublishedJson(const PublishedImage& image) {
  nlohmann::json result = ImageJson(image.entry);
  result["private_repository"] = image.repository;
  result["layers"] = image.totals.layers;
  result["layers_reused"] = image.totals.layers_reused;
  result["downloaded_bytes"] = image.totals.downloaded_bytes;
  result["stored_bytes"] = image.totals.stored_bytes;
  return result;
}

// Made if it is missing, which is said; but not by a service: it would go on for months in a store that no
// node looks into.
absl::StatusOr<std::shared_ptr<Backend>> OpenStore(const PublishArguments& arguments,
                                                   const Console& console) {
  const std::string& url = arguments.common.store;
  const absl::Status existing = OpenExistingBackend(url).status();
  if (arguments.serve) RETURN_IF_ERROR(existing);
  // As for maintenance: opened for writing, it is rid of what dead writers left.
  ASSIGN_OR_RETURN(std::shared_ptr<Backend> store, OpenBackend(url));
  if (absl::IsUnavailable(existing)) {
    console.err << "slackerctl: there was no store at " << Printable(url) << ": made it"
                << std::endl;
  }
  return store;
}

// One after the other; a source that fails does not keep the others from being published.
int RunPublish(const PublishArguments& arguments, const Console& console) {
  absl::StatusOr<Setting> setting = MakeSetting(arguments);
  if (arguments.serve) BlockStopSignals();
  const absl::StatusOr<std::shared_ptr<Backend>> store =
      setting.ok() ? OpenStore(arguments, console) : setting.status();
  if (!store.ok()) {
    PrintError(console.err, store.status());
    return kExitFailed;
  }
  setting->store = *store;
  if (!setting->options.store.key.has_value() && (*store)->IsNetwork()) {
    console.err << "warning: without --key the images are unsigned, and nodes refuse such a store "
                   "on a network unless they are told that it may be insecure"
                << std::endl;
  }
  if (!arguments.node.empty()) {
    return ServeNode(arguments.node, *store, setting->options, setting->source, console);
  }
  if (arguments.serve) {
    return ServeRequests(*store, setting->options, setting->source, console);
  }
  int exit_code = kExitOk;
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& spec : arguments.sources) {
    for (const absl::StatusOr<PublishedImage>& image : PublishAll(spec, *setting, console)) {
      if (!image.ok()) {
        PrintError(console.err, image.status());
        exit_code = kExitFailed;
      } else if (arguments.common.json) {
        results.push_back(PublishedJson(*image));
      } else {
        PrintPublished(*image, console);
      }
    }
  }
  if (arguments.common.json) PrintJson(console.out, results);
  return exit_code;
}

std::string CheckChunkSize(const std::string& text) {
  uint64_t size = 0;
  const bool number = absl::SimpleAtoi(text, &size);
  const bool good =
      number && size >= kMinChunkSize && size <= kMaxChunkSize && (size & (size - 1)) == 0;
  return good ? "" : "the chunk size must be a power of two from 4096 to 262144";
}

// Who may have the images.
void AddReaders(Command* command, PublishArguments* arguments) {
  const Option readers =
      command
          ->Add("--private", &arguments->private_repository,
                "Repository whose readers alone may have the images (default: as its "
                "registry says; layouts and archives are for everybody)")
          .Checked("", [](const std::string& text) {
            return Message(ParseImageReference(text).status());
          });
  command
      ->Flag("--public", &arguments->for_everybody,
             "Everybody may have the images, whatever their registry says")
      .Excludes(readers);
}

void AddPlatforms(Command* command, PublishArguments* arguments) {
  const Option platform =
      command
          ->Add("--platform", &arguments->platforms,
                "os/arch[/variant] (default: this machine's); may be given again")
          .Checked("", PlatformProblem)
          .OneByOne();
  command->Flag("--all-platforms", &arguments->all_platforms, "Every Linux platform there is")
      .Excludes(platform);
}

// How sources are reached.
void AddSources(Command* command, PublishArguments* arguments) {
  command
      ->Add("--hosts-dir", &arguments->hosts_directory,
            "Directory of containerd's hosts.toml files: mirrors and certificates")
      .ShowDefault();
  command
      ->Add("--containerd-address", &arguments->containerd.address,
            "Socket of the containerd that containerd:NAME means")
      .ShowDefault();
  command
      ->Add("--containerd-namespace", &arguments->containerd.name_space,
            "Its namespace; kubelets use k8s.io")
      .ShowDefault();
}

Action DeclarePublish(Command* command) {
  auto arguments = std::make_shared<PublishArguments>();
  command
      ->Add("SOURCE", &arguments->sources,
            "docker://REFERENCE, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], "
            "docker-archive:FILE[:NAME] or containerd:NAME")
      .Checked("", [](const std::string& spec) { return Message(ValidateImageSource(spec)); });
  const Option serve =
      command->Flag("--serve", &arguments->serve,
                    "Publish what nodes request, until a signal ends it, instead of SOURCE");
  command
      ->Add("--node", &arguments->node,
            "With --serve: publish what the slackerd of this root has noted, from its "
            "containerd, until nothing is left or standard input is closed")
      .Needs(serve);
  AddCommon(command, &arguments->common);
  AddPlatforms(command, arguments.get());
  command->Add("--chunk-size", &arguments->chunk_size, "Bytes in a chunk")
      .Checked("BYTES", CheckChunkSize)
      .ShowDefault();
  command->Add("--zstd-level", &arguments->zstd_level, "How hard to compress")
      .Between(1, 19)
      .ShowDefault();
  AddReaders(command, arguments.get());
  AddSources(command, arguments.get());
  AddSigningKey(command, &arguments->key);
  AddTrustedKeys(command, &arguments->trusted_keys);
  command->Demand("SOURCE", "is required, or else --serve; not both",
                  [arguments] { return arguments->serve == arguments->sources.empty(); });
  return [arguments](const Console& console) { return RunPublish(*arguments, console); };
}

}  // namespace

const Verb kPublishVerb = {"publish", "Put images into the store", DeclarePublish};

}  // namespace slacker::ctl
