#include "backend/source/oci_documents.h"

#include <nlohmann/json.hpp>

#include "backend/base/status.h"
#include "backend/source/json_object.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
constexpr size_t kMaxDescriptors = 4096;
constexpr int kMaxDepth = 64;

// A member of type string; empty when it is missing or of another type.
std::string StringAt(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Platform ParsePlatformObject(const Json& json) {
  return {.os = StringAt(json, "os"),
          .architecture = StringAt(json, "architecture"),
          .variant = StringAt(json, "variant")};
}

absl::StatusOr<Descriptor> ParseDescriptor(const Json& json) {
  if (!json.is_object()) return InvalidArgument("a descriptor is not a JSON object");
  Descriptor descriptor;
  descriptor.media_type = StringAt(json, "mediaType");
  absl::StatusOr<Digest> digest = Digest::Parse(StringAt(json, "digest"));
  if (!digest.ok()) return Annotate(digest.status(), "a descriptor's digest");
  descriptor.digest = *digest;
  const auto size = json.find("size");
  if (size == json.end() || !size->is_number_unsigned()) {
    return InvalidArgument("the descriptor of " + descriptor.digest.ToString() + " has no size");
  }
  descriptor.size_bytes = size->get<uint64_t>();
  if (const auto it = json.find("platform"); it != json.end() && it->is_object()) {
    descriptor.platform = ParsePlatformObject(*it);
  }
  if (const auto it = json.find("annotations"); it != json.end() && it->is_object()) {
    for (const auto& [key, value] : it->items()) {
      if (value.is_string()) descriptor.annotations[key] = value.get<std::string>();
    }
  }
  return descriptor;
}

absl::StatusOr<std::vector<Descriptor>> ParseDescriptors(const Json& object, const char* key,
                                                         size_t limit) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_array()) {
    return InvalidArgument(std::string("there is no list \"") + key + "\"");
  }
  if (it->size() > limit) {
    return InvalidArgument(std::string("\"") + key + "\" has more than " + std::to_string(limit) +
                           " items");
  }
  std::vector<Descriptor> descriptors;
  for (const Json& item : *it) {
    ASSIGN_OR_RETURN(Descriptor descriptor, ParseDescriptor(item));
    descriptors.push_back(std::move(descriptor));
  }
  return descriptors;
}

std::optional<DocumentKind> KindOf(std::string_view media_type) {
  media_type = media_type.substr(0, media_type.find(';'));
  if (media_type == kOciIndex || media_type == kDockerList) return DocumentKind::kIndex;
  if (media_type == kOciManifest || media_type == kDockerManifest) return DocumentKind::kManifest;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Json> ParseJsonObject(std::string_view document, std::string_view what) {
  bool too_deep = false;
  const auto keep = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  Json json = Json::parse(document.begin(), document.end(), keep, /*allow_exceptions=*/false);
  if (too_deep) {
    return InvalidArgument(std::string(what) + " is nested more than " + std::to_string(kMaxDepth) +
                           " deep");
  }
  if (!json.is_object()) return InvalidArgument(std::string(what) + " is not a JSON object");
  return json;
}

absl::StatusOr<DocumentKind> ClassifyDocument(std::string_view document,
                                              std::string_view media_type) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(document, "the manifest"));
  if (const auto version = json.find("schemaVersion"); version != json.end() && *version == 1) {
    return InvalidArgument(
        "the image has a manifest of schema 1, which registries gave up in 2019: push it again "
        "with a current tool");
  }
  const bool lists_manifests = json.contains("manifests");
  const bool lists_layers = json.contains("layers") || json.contains("config");
  if (lists_manifests == lists_layers) {
    return InvalidArgument(lists_layers ? "the manifest could be read as an index as well"
                                        : "the document is neither an image manifest nor an index");
  }
  const DocumentKind shape = lists_manifests ? DocumentKind::kIndex : DocumentKind::kManifest;
  const std::string own_type = StringAt(json, "mediaType");
  for (const std::string_view type : {std::string_view(own_type), media_type}) {
    const std::optional<DocumentKind> kind = KindOf(type);
    if (kind.has_value() && *kind != shape) {
      return InvalidArgument("the document is not what its media type " + std::string(type) +
                             " says");
    }
  }
  if (!own_type.empty() && !KindOf(own_type).has_value()) {
    return InvalidArgument("media type " + own_type + " is not that of an image");
  }
  return shape;
}

std::string ManifestTypeOf(std::string_view manifest) {
  const Json json = Json::parse(manifest, nullptr, /*allow_exceptions=*/false);
  const std::string own_type = json.is_object() ? StringAt(json, "mediaType") : "";
  return own_type.empty() ? "application/vnd.oci.image.manifest.v1+json" : own_type;
}

absl::StatusOr<OciIndex> ParseIndex(std::string_view document) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(document, "the index"));
  OciIndex index;
  ASSIGN_OR_RETURN(index.manifests, ParseDescriptors(json, "manifests", kMaxDescriptors));
  return index;
}

absl::StatusOr<OciManifest> ParseManifest(std::string_view document) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(document, "the manifest"));
  OciManifest manifest;
  const auto config = json.find("config");
  if (config == json.end()) return InvalidArgument("the manifest names no configuration");
  ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(*config));
  if (const std::string& type = manifest.config.media_type;
      type != kOciConfig && type != kDockerConfig) {
    return InvalidArgument("this is not a container image: its configuration is of type " + type);
  }
  ASSIGN_OR_RETURN(manifest.layers, ParseDescriptors(json, "layers", kMaxImageLayers));
  if (manifest.layers.empty())
    return InvalidArgument("the image has no layers: nothing to publish");
  return manifest;
}

absl::StatusOr<OciConfig> ParseConfig(std::string_view document) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(document, "the image configuration"));
  OciConfig config;
  config.platform = ParsePlatformObject(json);
  const auto rootfs = json.find("rootfs");
  if (rootfs == json.end() || !rootfs->is_object() || !rootfs->contains("diff_ids") ||
      !rootfs->at("diff_ids").is_array()) {
    return InvalidArgument("the image configuration has no rootfs.diff_ids");
  }
  if (rootfs->at("diff_ids").size() > kMaxImageLayers) {
    return InvalidArgument("the image configuration lists more than " +
                           std::to_string(kMaxImageLayers) + " layers");
  }
  for (const Json& item : rootfs->at("diff_ids")) {
    absl::StatusOr<Digest> digest =
        Digest::Parse(item.is_string() ? item.get<std::string>() : std::string());
    if (!digest.ok()) return Annotate(digest.status(), "the image configuration's rootfs.diff_ids");
    config.diff_ids.push_back(*digest);
  }
  return config;
}

absl::Status CheckLayerType(const Descriptor& layer) {
  std::string_view type = layer.media_type;
  if (type.find("nondistributable") != std::string_view::npos ||
      type.find(".foreign.") != std::string_view::npos) {
    return InvalidArgument("layer " + layer.digest.ToString() +
                           " is foreign (nondistributable): the registry does not have it, and it "
                           "must not be copied");
  }
  if (type.find("+encrypted") != std::string_view::npos) {
    return InvalidArgument("layer " + layer.digest.ToString() + " is encrypted");
  }
  for (const std::string_view base :
       {"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"}) {
    if (!type.starts_with(base)) continue;
    type.remove_prefix(base.size());
    if (type.empty() || type == "+gzip" || type == ".gzip" || type == "+zstd" || type == ".zstd") {
      return absl::OkStatus();
    }
    break;
  }
  return InvalidArgument("layer " + layer.digest.ToString() + " is of the unknown type " +
                         layer.media_type);
}

}  // namespace slacker
