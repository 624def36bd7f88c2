#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "backend/view/provenance.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

using Json = nlohmann::json;
using Fields = std::vector<std::pair<std::string, Cell>>;

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
  bool listed = false;  // whether keys and grants are known: not in a store behind a web server
  std::vector<Digest> keys;
  std::vector<UnprovedGrant> grants;
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

absl::StatusOr<Details> Inspect(const ImageArguments& arguments) {
  ASSIGN_OR_RETURN(ReadableImage opened, OpenForReading(arguments));
  Details details;
  details.image = std::move(opened.found);
  const Digest& chain = details.image.chain_id;
  ASSIGN_OR_RETURN(details.manifest, opened.reader->ReadManifest(chain));
  for (const ManifestLayer& layer : details.manifest.layers) {
    ASSIGN_OR_RETURN(LayerDetails one, InspectLayer(*opened.reader, layer));
    details.layers.push_back(one);
  }
  details.listed = CanBeListed(arguments.common.store);
  if (!details.listed) return details;
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store,
                   OpenExistingBackend(arguments.common.store));
  ASSIGN_OR_RETURN(details.keys, ListSigners(*store, chain));
  ASSIGN_OR_RETURN(details.grants, ListGrants(*store, chain));
  return details;
}

// Null where there is no configuration, or it is not JSON. Without what is nested more than 64 deep:
// image entries are not signed, and Json recurses when it writes.
Json ConfigOf(const Details& details) {
  if (!details.image.entry.has_value()) return nullptr;
  const auto keep = [](int depth, Json::parse_event_t, Json&) { return depth <= 64; };
  Json config = Json::parse(details.image.entry->config_json, keep, false);
  return config.is_discarded() ? Json(nullptr) : config;
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
  if (details.image.entry.has_value()) json["config"] = ConfigOf(details);
  if (!details.listed) return json;
  json["keys"] = Json::array();
  for (const Digest& key : details.keys) json["keys"].push_back(key.ToHex());
  json["grants"] = Json::array();
  for (const UnprovedGrant& grant : details.grants) {
    Json one = {{"key", grant.key_id.has_value() ? Json(grant.key_id->ToHex()) : Json(nullptr)}};
    SetBytes(&one, "repository", grant.grant.repository);
    json["grants"].push_back(std::move(one));
  }
  return json;
}

// A string, or an array of them as one line of JSON; "-" for anything else.
Cell ConfigCell(const Json& config, const char* key) {
  if (!config.is_object() || !config.contains(key)) return TextCell("-");
  const Json& value = config.at(key);
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    return TextCell(text.empty() ? "-" : text);
  }
  if (!value.is_array() || value.empty()) return TextCell("-");
  return TextCell(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void AddConfig(const Details& details, Fields* fields) {
  const Json image = ConfigOf(details);
  const Json config = image.is_object() && image.contains("config") ? image.at("config") : Json();
  fields->emplace_back("entrypoint", ConfigCell(config, "Entrypoint"));
  fields->emplace_back("command", ConfigCell(config, "Cmd"));
  fields->emplace_back("user", ConfigCell(config, "User"));
  fields->emplace_back("directory", ConfigCell(config, "WorkingDir"));
  if (!config.is_object() || !config.contains("Env") || !config.at("Env").is_array()) return;
  for (const Json& variable : config.at("Env")) {
    if (variable.is_string()) fields->emplace_back("env", TextCell(variable.get<std::string>()));
  }
}

void PrintDetails(const Details& details, const Console& console) {
  Fields fields;
  if (const auto& entry = details.image.entry; entry.has_value()) {
    fields.emplace_back("image", TextCell(entry->name));
    fields.emplace_back("manifest", TextCell(entry->manifest_digest));
    fields.emplace_back("published", TextCell(FormatTime(entry->published_unix_seconds)));
    fields.emplace_back("compressed", SizeCell(entry->compressed_bytes));
    fields.emplace_back("unpacked", SizeCell(entry->unpacked_bytes));
  }
  fields.emplace_back("chain", TextCell(details.manifest.chain_id.ToString()));
  fields.emplace_back("platform", TextCell(FormatPlatform(details.manifest.platform)));
  const Cell none = TextCell(details.listed ? "-" : "unknown: the store cannot be listed");
  for (const Digest& key : details.keys) fields.emplace_back("signed by", TextCell(key.ToHex()));
  if (details.keys.empty()) fields.emplace_back("signed by", none);
  // With and without signatures, those of one repository side by side.
  std::string told;
  for (const UnprovedGrant& grant : details.grants) {
    const std::string& repository = grant.grant.repository;
    const std::string whom = repository.empty() ? "anybody" : "readers of " + repository;
    if (whom != told) fields.emplace_back("granted to", TextCell(whom));
    told = whom;
    if (!grant.key_id.has_value()) continue;
    const std::string text = fields.back().second.text;
    fields.back().second = TextCell(text + ", signed by " + grant.key_id->ToHex());
  }
  if (details.grants.empty()) fields.emplace_back("granted to", none);
  if (details.image.entry.has_value()) AddConfig(details, &fields);
  PrintFields(console, fields);
  if (console.terminal) console.out << '\n';
  std::vector<std::vector<Cell>> rows;
  for (const LayerDetails& layer : details.layers) {
    rows.push_back({CountCell(rows.size() + 1), DigestCell(layer.names.diff_id),
                    DigestCell(layer.names.record), CountCell(layer.entries),
                    CountCell(layer.files), CountCell(layer.chunks), SizeCell(layer.chunk_size),
                    SizeCell(layer.tar_bytes), SizeCell(layer.content_bytes),
                    SizeCell(layer.stored_bytes)});
    if (!console.terminal) rows.back().insert(rows.back().begin(), TextCell("layer"));
  }
  PrintRows(console,
            {"LAYER", "DIFF ID", "RECORD", "ENTRIES", "FILES", "CHUNKS", "CHUNK SIZE", "TAR",
             "CONTENT", "STORED"},
            rows);
}

int RunInspect(const ImageArguments& arguments, const Console& console) {
  const absl::StatusOr<Details> details = Inspect(arguments);
  if (!details.ok()) {
    PrintError(console.err, details.status());
    return kExitFailed;
  }
  if (arguments.common.json) {
    PrintJson(console.out, DetailsJson(*details));
  } else {
    PrintDetails(*details, console);
  }
  return kExitOk;
}

Action DeclareInspect(Command* command) {
  auto arguments = std::make_shared<ImageArguments>();
  AddImageOptions(command, arguments.get());
  return [arguments](const Console& console) { return RunInspect(*arguments, console); };
}

}  // namespace

const Verb kInspectVerb = {"inspect", "Show one image: layers, sizes, configuration, signers",
                           DeclareInspect};

}  // namespace slacker::ctl
