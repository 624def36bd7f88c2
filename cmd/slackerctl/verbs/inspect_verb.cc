#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

using Json = nlohmann::json;

struct Arguments {
  CommonArguments common;
  std::string image;
  std::string platform;
};

struct LayerDetails {
  ManifestLayer names;
  uint64_t tar_bytes = 0;
  uint64_t content_bytes = 0;
  uint64_t stored_bytes = 0;
  uint32_t chunk_size = 0;
  size_t entries = 0;
  size_t files = 0;
  size_t chunks = 0;
};

struct Details {
  FoundImage image;
  Manifest manifest;
  std::vector<LayerDetails> layers;
};

absl::StatusOr<LayerDetails> InspectLayer(const StoreReader& reader, const ManifestLayer& names) {
  ASSIGN_OR_RETURN(const DecodedRecord record, reader.ReadLayer(names.record));
  const Layer& layer = record.layer;
  ASSIGN_OR_RETURN(const Locations locations,
                   reader.ReadLocations(names.record, layer.chunks.size()));
  LayerDetails details;
  details.names = names;
  details.tar_bytes = layer.tar_size_bytes;
  details.chunk_size = layer.chunk_size;
  details.entries = layer.entries.size();
  details.files = layer.files.size();
  details.chunks = layer.chunks.size();
  for (const Chunk& chunk : layer.chunks) details.content_bytes += chunk.size_bytes;
  for (const ChunkLocation& place : locations.chunks) details.stored_bytes += place.stored_bytes;
  return details;
}

absl::StatusOr<Details> Inspect(const Arguments& arguments) {
  ASSIGN_OR_RETURN(OpenedImage opened,
                   OpenImage(arguments.common, arguments.image, arguments.platform));
  Details details;
  details.image = std::move(opened.image);
  const StoreReader reader(opened.store);
  ASSIGN_OR_RETURN(details.manifest, reader.ReadManifest(details.image.chain_id));
  for (const ManifestLayer& layer : details.manifest.layers) {
    ASSIGN_OR_RETURN(LayerDetails one, InspectLayer(reader, layer));
    details.layers.push_back(one);
  }
  return details;
}

Json DetailsJson(const Details& details) {
  Json json = details.image.entry.has_value() ? ImageJson(*details.image.entry) : Json::object();
  json["chain_id"] = details.manifest.chain_id.ToString();
  json["platform"] = FormatPlatform(details.manifest.platform);
  json["layers"] = Json::array();
  for (const LayerDetails& layer : details.layers) {
    json["layers"].push_back({{"diff_id", layer.names.diff_id.ToString()},
                              {"record", layer.names.record.ToString()},
                              {"tar_bytes", layer.tar_bytes},
                              {"content_bytes", layer.content_bytes},
                              {"stored_bytes", layer.stored_bytes},
                              {"chunk_size", layer.chunk_size},
                              {"entries", layer.entries},
                              {"files", layer.files},
                              {"chunks", layer.chunks}});
  }
  if (details.image.entry.has_value()) {
    Json config = Json::parse(details.image.entry->config_json, nullptr, false);
    json["config"] = config.is_discarded() ? Json(nullptr) : std::move(config);
  }
  return json;
}

void PrintDetails(const Details& details, std::ostream& out) {
  if (const auto& entry = details.image.entry; entry.has_value()) {
    out << "image:      " << Printable(entry->name) << "\n"
        << "manifest:   " << Printable(entry->manifest_digest) << "\n"
        << "published:  " << FormatTime(entry->published_unix_seconds) << "\n"
        << "compressed: " << HumanSize(entry->compressed_bytes) << "\n"
        << "unpacked:   " << HumanSize(entry->unpacked_bytes) << "\n";
  }
  out << "chain:      " << details.manifest.chain_id.ToString() << "\n"
      << "platform:   " << Printable(FormatPlatform(details.manifest.platform)) << "\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const LayerDetails& layer : details.layers) {
    rows.push_back({std::to_string(rows.size() + 1), ShortDigest(layer.names.diff_id),
                    ShortDigest(layer.names.record), std::to_string(layer.entries),
                    std::to_string(layer.files), std::to_string(layer.chunks),
                    HumanSize(layer.chunk_size), HumanSize(layer.tar_bytes),
                    HumanSize(layer.content_bytes), HumanSize(layer.stored_bytes)});
  }
  PrintTable(out,
             {"LAYER", "DIFF ID", "RECORD", "ENTRIES", "FILES", "CHUNKS", "CHUNK SIZE", "TAR",
              "CONTENT", "STORED"},
             rows);
}

int RunInspect(const Arguments& arguments, const Console& console) {
  const absl::StatusOr<Details> details = Inspect(arguments);
  if (!details.ok()) {
    PrintError(console.err, details.status());
    return kExitFailed;
  }
  if (arguments.common.json) {
    PrintJson(console.out, DetailsJson(*details));
  } else {
    PrintDetails(*details, console.out);
  }
  return kExitOk;
}

Action DeclareInspect(CLI::App* command) {
  auto arguments = std::make_shared<Arguments>();
  command->add_option("IMAGE", arguments->image, "Image name or chain ID")->required();
  AddCommon(command, &arguments->common);
  AddAccess(command, &arguments->common.access);
  AddPlatform(command, &arguments->platform);
  return [arguments](const Console& console) { return RunInspect(*arguments, console); };
}

}  // namespace

const Verb kInspectVerb = {"inspect", "Show one image and its layers", DeclareInspect};

}  // namespace slacker::ctl
