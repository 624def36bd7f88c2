#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/export/image_export.h"
#include "cmd/common/image_sources.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

constexpr std::string_view kDocker = "docker://";
constexpr std::string_view kLayout = "oci:";
constexpr std::string_view kArchive = "oci-archive:";

struct ExportArguments {
  ImageArguments image;
  std::string target;
  RegistryOptions registry;
};

// The names of the image in a layout, from the name that it was published under.
ImageNames NamesOf(const ImageEntry& entry, const std::string& tag) {
  ImageNames names;
  names.platform = entry.platform;
  names.tag = tag;
  if (!entry.name.starts_with(kDocker)) return names;
  names.full_name = entry.name.substr(kDocker.size());
  const auto reference = ParseImageReference(names.full_name);
  if (tag.empty() && reference.ok()) names.tag = reference->tag;
  return names;
}

// What is wrong with it, "" if nothing.
std::string CheckTarget(const std::string& target) {
  if (target.starts_with(kDocker)) {
    return Message(ParseImageReference(target.substr(kDocker.size())).status());
  }
  for (const std::string_view kind : {kLayout, kArchive}) {
    if (!target.starts_with(kind)) continue;
    const bool named = target.size() > kind.size() && target[kind.size()] != ':';
    return named ? "" : "target \"" + target + "\" does not say where";
  }
  return "target \"" + target +
         "\" is none of oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], docker://REFERENCE";
}

absl::StatusOr<std::unique_ptr<ImageSink>> OpenSink(std::string_view target,
                                                    const ImageEntry& entry,
                                                    const RegistryOptions& registry) {
  if (target.starts_with(kDocker)) {
    ASSIGN_OR_RETURN(const ImageReference reference,
                     ParseImageReference(target.substr(kDocker.size())));
    std::optional<ImageReference> origin;
    if (entry.name.starts_with(kDocker)) {
      if (auto parsed = ParseImageReference(entry.name.substr(kDocker.size())); parsed.ok()) {
        origin = *std::move(parsed);
      }
    }
    return OpenRegistrySink(reference, origin, registry);
  }
  for (const std::string_view kind : {kArchive, kLayout}) {
    if (!target.starts_with(kind)) continue;
    const std::string_view path = target.substr(kind.size());
    const size_t colon = std::min(path.find(':'), path.size());
    const std::string tag(path.substr(std::min(colon + 1, path.size())));
    const std::string where(path.substr(0, colon));
    return kind == kArchive ? OpenArchiveSink(where, NamesOf(entry, tag))
                            : OpenLayoutSink(where, NamesOf(entry, tag));
  }
  return InvalidArgument(CheckTarget(std::string(target)));
}

std::string ExportLine(const ExportProgress& progress) {
  return "layer " + std::to_string(progress.layers_done) + "/" + std::to_string(progress.layers) +
         ", of the next one " + HumanSize(progress.tar_bytes_done) + " of " +
         HumanSize(progress.tar_bytes);
}

absl::StatusOr<ExportedImage> Export(const ExportArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const ReadableImage opened, OpenForReading(arguments.image));
  if (!opened.found.entry.has_value()) {
    const std::string chain = opened.found.chain_id.ToString();
    if (CanBeListed(arguments.image.common.store)) {
      return NotFound(chain + " is not listed as an image: its configuration is not in the store");
    }
    return InvalidArgument(chain +
                           ": in a store behind a web server the configuration is found by the "
                           "image's name only: export it by that");
  }
  const ImageEntry& entry = *opened.found.entry;
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageSink> sink,
                   OpenSink(arguments.target, entry, arguments.registry));
  size_t shown = 0;
  StatusLine line(&console, &SystemClock());
  auto image = ExportImage(*opened.reader, entry, *sink, [&](const ExportProgress& progress) {
    if (line.IsDue()) line.Show(ExportLine(progress));
    if (console.interactive || progress.layers_done == shown) return;
    shown = progress.layers_done;
    console.err << "layer " << shown << "/" << progress.layers << std::endl;
  });
  line.Clear();
  return image;
}

// Why digests are not those that it was published with.
void ExplainNewDigests(const ExportedImage& image, const Console& console) {
  const auto anew = std::count_if(image.layers.begin(), image.layers.end(),
                                  [](const ExportedLayer& layer) { return !layer.original; });
  if (anew == 0) return;
  console.err << Counted(static_cast<uint64_t>(anew), "layer")
              << " compressed anew, so the manifest has a new digest: nothing here makes the "
                 "original bytes (zlib, gzip, pigz -p1 and zstd were tried where their beginning "
                 "is known); diff IDs and chain ID are the original's\n";
}

void PrintExported(const ExportedImage& image, const std::string& target, const Console& console) {
  std::vector<std::vector<Cell>> rows;
  for (const ExportedLayer& layer : image.layers) {
    rows.push_back({TextCell("layer"), DigestCell(layer.diff_id), DigestCell(layer.blob.digest),
                    SizeCell(layer.blob.size_bytes),
                    TextCell(layer.original ? "original" : "compressed anew")});
  }
  rows.push_back({TextCell("manifest"), DigestCell(image.chain_id),
                  DigestCell(image.manifest.digest), SizeCell(image.manifest.size_bytes),
                  TextCell(image.original_manifest ? "original" : "new")});
  PrintRows(console, {"", "DIFF OR CHAIN ID", "BLOB", "SIZE", "BYTES"}, rows);
  if (console.terminal) console.out << "exported to " << Escape(target) << '\n';
}

nlohmann::json ToJson(const ExportedImage& image) {
  nlohmann::json layers = nlohmann::json::array();
  for (const ExportedLayer& layer : image.layers) {
    layers.push_back({{"diff_id", layer.diff_id.ToString()},
                      {"digest", layer.blob.digest.ToString()},
                      {"size", layer.blob.size_bytes},
                      {"media_type", layer.blob.media_type},
                      {"original", layer.original}});
  }
  return {{"chain_id", image.chain_id.ToString()},
          {"manifest_digest", image.manifest.digest.ToString()},
          {"original_manifest", image.original_manifest},
          {"layers", layers}};
}

int RunExport(const ExportArguments& arguments, const Console& console) {
  const absl::StatusOr<ExportedImage> image = Export(arguments, console);
  if (!image.ok()) {
    PrintError(console.err, image.status());
    return kExitFailed;
  }
  if (arguments.image.common.json) {
    PrintJson(console.out, ToJson(*image));
  } else {
    PrintExported(*image, arguments.target, console);
    ExplainNewDigests(*image, console);
  }
  return kExitOk;
}

Action DeclareExport(Command* command) {
  auto arguments = std::make_shared<ExportArguments>();
  AddImageOptions(command, &arguments->image);
  command
      ->Add("TARGET", &arguments->target,
            "oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or docker://REFERENCE")
      .Required()
      .Checked("", CheckTarget);
  arguments->registry.credential_files = DefaultCredentialFiles();
  arguments->registry.hosts_directory = "/etc/containerd/certs.d";
  command
      ->Add("--hosts-dir", &arguments->registry.hosts_directory,
            "Directory of containerd's hosts.toml files: mirrors and certificates")
      .ShowDefault();
  return [arguments](const Console& console) { return RunExport(*arguments, console); };
}

}  // namespace

const Verb kExportVerb = {"export", "Give an image back, with its own diff IDs", DeclareExport};

}  // namespace slacker::ctl
