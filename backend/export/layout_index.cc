#include "backend/export/layout_index.h"

#include <nlohmann/json.hpp>

#include "backend/base/status.h"
#include "backend/source/json_object.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

constexpr char kRefName[] = "org.opencontainers.image.ref.name";
constexpr char kFullName[] = "io.containerd.image.name";

std::string TagOf(const Json& entry) {
  if (!entry.is_object() || !entry.contains("annotations")) return "";
  const Json& annotations = entry.at("annotations");
  if (!annotations.is_object() || !annotations.contains(kRefName)) return "";
  const Json& tag = annotations.at(kRefName);
  return tag.is_string() ? tag.get<std::string>() : "";
}

Json ListedImage(const Descriptor& manifest, const ImageNames& names) {
  Json entry = {
      {"mediaType", manifest.media_type},
      {"digest", manifest.digest.ToString()},
      {"size", manifest.size_bytes},
      {"platform", {{"os", names.platform.os}, {"architecture", names.platform.architecture}}}};
  // Without a name for it the configuration says what it is for.
  if (names.platform.os.empty()) {
    entry.erase("platform");
  } else if (!names.platform.variant.empty()) {
    entry["platform"]["variant"] = names.platform.variant;
  }
  if (!names.tag.empty()) entry["annotations"][kRefName] = names.tag;
  if (!names.full_name.empty()) entry["annotations"][kFullName] = names.full_name;
  return entry;
}

}  // namespace

absl::StatusOr<std::string> AddToIndex(std::string_view existing, const Descriptor& manifest,
                                       const ImageNames& names) {
  Json index = {{"schemaVersion", 2},
                {"mediaType", "application/vnd.oci.image.index.v1+json"},
                {"manifests", Json::array()}};
  if (!existing.empty()) {
    ASSIGN_OR_RETURN(index, ParseJsonObject(existing, "index.json"));
    if (!index.contains("manifests") || !index.at("manifests").is_array()) {
      return InvalidArgument("index.json is not the index of an image layout");
    }
  }
  Json kept = Json::array();
  for (Json& entry : index.at("manifests")) {
    const std::string tag = TagOf(entry);
    const bool same_digest =
        entry.is_object() && entry.value("digest", Json()) == Json(manifest.digest.ToString());
    const bool replaced = names.tag.empty() ? tag.empty() && same_digest : tag == names.tag;
    if (!replaced) kept.push_back(std::move(entry));
  }
  kept.push_back(ListedImage(manifest, names));
  index["manifests"] = std::move(kept);
  return index.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string LayoutBlobPath(const Digest& digest) { return "blobs/sha256/" + digest.ToHex(); }

}  // namespace slacker
