#include "backend/source/docker_archive.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/source/decompress.h"
#include "backend/source/layout_files.h"
#include "backend/source/tar_file.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxImages = 4096;
constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kConfigType[] = "application/vnd.oci.image.config.v1+json";
constexpr char kLayerType[] = "application/vnd.oci.image.layer.v1.tar";

absl::StatusOr<std::vector<std::string>> TextsAt(const Json& object, const char* key,
                                                 size_t limit) {
  std::vector<std::string> texts;
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return texts;
  const std::string what = std::string("manifest.json: ") + key;
  if (!it->is_array()) return InvalidArgument(what + " is not a list");
  if (it->size() > limit) return InvalidArgument(what + " is too long");
  for (const Json& item : *it) {
    if (!item.is_string()) return InvalidArgument(what + " has an item that is no string");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

// "docker.io/library/app:1.2" for "app:1.2"; what is no reference stays as it is.
std::string FullName(const std::string& name) {
  const auto reference = ParseImageReference(name);
  return reference.ok() ? reference->ToString() : name;
}

// The digest that a file's name is: "<hex>.json", "blobs/sha256/<hex>".
std::optional<Digest> DigestInName(std::string_view name) {
  name = name.substr(name.rfind('/') + 1);  // npos + 1 is 0
  if (name.ends_with(".json")) name.remove_suffix(5);
  const auto digest = Digest::Parse("sha256:" + std::string(name));
  return digest.ok() ? std::optional(*digest) : std::nullopt;
}

struct Blob {
  std::string name;
  Digest digest;
  uint64_t size_bytes = 0;
};

class DockerArchiveSource final : public ImageSource {
 public:
  DockerArchiveSource(std::unique_ptr<LayoutFiles> files, std::string tag)
      : files_(std::move(files)), tag_(std::move(tag)) {}

  std::string Name() const override {
    return "docker-archive:" + files_->path() + (tag_.empty() ? "" : ":" + tag_);
  }

  // Finds the image and makes its manifest.
  absl::Status Load() {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadLayoutFile(*files_, "manifest.json", kMaxOciManifestBytes));
    ASSIGN_OR_RETURN(const std::vector<DockerArchiveImage> images,
                     ParseDockerArchiveManifest(text));
    ASSIGN_OR_RETURN(const DockerArchiveImage* image, Select(images));
    ASSIGN_OR_RETURN(config_, ReadLayoutFile(*files_, image->config, kMaxConfigBytes));
    const Digest digest = Sha256::Of(config_);
    if (DigestInName(image->config).value_or(digest) != digest) {
      return DataLoss("the configuration " + image->config + " has the digest " +
                      digest.ToString());
    }
    ASSIGN_OR_RETURN(const OciConfig config, ParseConfig(config_));
    if (config.diff_ids.size() != image->layers.size()) {
      return InvalidArgument("manifest.json has " + std::to_string(image->layers.size()) +
                             " layers but the configuration " +
                             std::to_string(config.diff_ids.size()));
    }
    Json layers = Json::array();
    for (size_t i = 0; i < image->layers.size(); ++i) {
      ASSIGN_OR_RETURN(const Blob blob, DescribeLayer(image->layers[i], config.diff_ids[i]));
      layers.push_back({{"mediaType", kLayerType},
                        {"digest", blob.digest.ToString()},
                        {"size", blob.size_bytes}});
      blobs_.emplace(blob.digest, blob.name);
    }
    manifest_ = Json({{"schemaVersion", 2},
                      {"mediaType", kManifestType},
                      {"config",
                       {{"mediaType", kConfigType},
                        {"digest", digest.ToString()},
                        {"size", config_.size()}}},
                      {"layers", std::move(layers)}})
                    .dump();
    return absl::OkStatus();
  }

  absl::StatusOr<Document> Root() override {
    return Document{kManifestType, Sha256::Of(manifest_), manifest_};
  }
  absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) override {
    return NotFound("a docker archive has no manifest " + descriptor.digest.ToString());
  }
  absl::StatusOr<std::string> ReadConfig(const Descriptor&) override { return config_; }

  absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) override {
    const auto name = blobs_.find(descriptor.digest);
    if (name == blobs_.end()) {
      return NotFound(files_->path() + " has no layer " + descriptor.digest.ToString());
    }
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, files_->Open(name->second));
    return VerifyStream(std::move(file), descriptor.digest, descriptor.size_bytes,
                        files_->path() + "/" + name->second);
  }

 private:
  absl::StatusOr<const DockerArchiveImage*> Select(const std::vector<DockerArchiveImage>& images) {
    const DockerArchiveImage* found = nullptr;
    std::string offers;
    const std::string wanted = FullName(tag_);
    for (const DockerArchiveImage& image : images) {
      bool match = tag_.empty();
      for (const std::string& name : image.names) {
        match = match || FullName(name) == wanted;
        if (offers.size() < 500) offers += (offers.empty() ? "" : ", ") + name;
      }
      if (!match) continue;
      if (found != nullptr) {
        return InvalidArgument(files_->path() + " has several images: name one of " +
                               (offers.empty() ? "them" : offers));
      }
      found = &image;
    }
    if (found != nullptr) return found;
    return NotFound(files_->path() + " has no image " + tag_ +
                    "; there is: " + (offers.empty() ? "none with a name" : offers));
  }

  // A layer's file as a blob: its own digest and size. That of a plain tar is the diff ID.
  absl::StatusOr<Blob> DescribeLayer(const std::string& name, const Digest& diff_id) {
    Blob blob;
    blob.name = name;
    ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, files_->Open(name));
    const std::optional<Digest> named = DigestInName(name);
    ASSIGN_OR_RETURN(std::string_view bytes, file->Next());
    const bool hash = !named.has_value() && IsCompressed(bytes);
    blob.digest = named.value_or(diff_id);
    Sha256 sha;
    while (!bytes.empty()) {
      blob.size_bytes += bytes.size();
      if (hash) sha.Update(bytes);
      ASSIGN_OR_RETURN(bytes, file->Next());
    }
    if (hash) blob.digest = sha.Finish();
    return blob;
  }

  const std::unique_ptr<LayoutFiles> files_;
  const std::string tag_;
  std::string manifest_;
  std::string config_;
  std::unordered_map<Digest, std::string> blobs_;  // by digest: the file's name
};

}  // namespace

absl::StatusOr<std::vector<DockerArchiveImage>> ParseDockerArchiveManifest(std::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return InvalidArgument("manifest.json is not a JSON list");
  if (json.size() > kMaxImages) return InvalidArgument("manifest.json has more than 4096 images");
  std::vector<DockerArchiveImage> images;
  for (const Json& item : json) {
    if (!item.is_object() || !item.contains("Config") || !item.at("Config").is_string()) {
      return InvalidArgument("manifest.json has an image without a configuration");
    }
    DockerArchiveImage image;
    image.config = item.at("Config").get<std::string>();
    ASSIGN_OR_RETURN(image.names, TextsAt(item, "RepoTags", kMaxImages));
    ASSIGN_OR_RETURN(image.layers, TextsAt(item, "Layers", kMaxImageLayers));
    images.push_back(std::move(image));
  }
  return images;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenDockerArchiveSource(std::string_view file,
                                                                     std::string_view tag) {
  ASSIGN_OR_RETURN(std::unique_ptr<LayoutFiles> files, OpenTarFile(file));
  auto source = std::make_unique<DockerArchiveSource>(std::move(files), std::string(tag));
  RETURN_IF_ERROR(Annotate(source->Load(), source->Name()));
  return std::unique_ptr<ImageSource>(std::move(source));
}

}  // namespace slacker
