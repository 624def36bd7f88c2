#include "backend/source/image_source.h"

#include <optional>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/platform.h"

namespace slacker {
namespace {

constexpr int kMaxIndexDepth = 4;

std::string DescribeOffers(const OciIndex& index) {
  std::string offers;
  for (const Descriptor& manifest : index.manifests) {
    if (!manifest.platform.has_value() || manifest.platform->os == "unknown") continue;
    offers += (offers.empty() ? "" : ", ") + FormatPlatform(*manifest.platform);
    if (offers.size() > 500) return offers + ", …";
  }
  return offers.empty() ? "none" : offers;
}

// The entry for `platform`; one without a platform stands for what its own configuration says.
absl::StatusOr<Descriptor> SelectManifest(const OciIndex& index, const Platform& platform) {
  std::optional<Descriptor> unnamed;
  for (const Descriptor& manifest : index.manifests) {
    if (manifest.platform.has_value()) {
      if (PlatformMatches(platform, *manifest.platform)) return manifest;
    } else if (unnamed.has_value() && unnamed->digest != manifest.digest) {
      return InvalidArgument(
          "there are several images and no platforms to choose by: name one by its tag");
    } else {
      unnamed = manifest;
    }
  }
  if (unnamed.has_value()) return *unnamed;
  return NotFound("no image for platform " + FormatPlatform(platform) +
                  "; there is: " + DescribeOffers(index));
}

absl::StatusOr<ResolvedImage> ResolveManifest(ImageSource& source, const Document& document,
                                              const Platform& platform) {
  ASSIGN_OR_RETURN(OciManifest manifest, ParseManifest(document.content));
  for (const Descriptor& layer : manifest.layers) {
    RETURN_IF_ERROR(CheckLayerType(layer));
  }
  ResolvedImage image;
  image.manifest_digest = document.digest;
  image.layers = std::move(manifest.layers);
  ASSIGN_OR_RETURN(image.config_json, source.ReadConfig(manifest.config));
  ASSIGN_OR_RETURN(OciConfig config, ParseConfig(image.config_json));
  if (config.diff_ids.size() != image.layers.size()) {
    return InvalidArgument("the manifest has " + std::to_string(image.layers.size()) +
                           " layers but the configuration " +
                           std::to_string(config.diff_ids.size()));
  }
  if (!PlatformMatches(platform, config.platform)) {
    return NotFound("no image for platform " + FormatPlatform(platform) +
                    "; there is: " + FormatPlatform(config.platform));
  }
  image.platform = config.platform;
  image.diff_ids = std::move(config.diff_ids);
  return image;
}

constexpr size_t kMaxDocuments = 256;

// The platforms below one document; one thread.
class PlatformList {
 public:
  explicit PlatformList(ImageSource* source) : source_(source) {}

  absl::Status AddDocument(const Document& document, int depth) {
    if (++documents_ > kMaxDocuments || depth > kMaxIndexDepth) {
      return InvalidArgument("the indexes are too large or nested too deep");
    }
    ASSIGN_OR_RETURN(const DocumentKind kind,
                     ClassifyDocument(document.content, document.media_type));
    if (kind == DocumentKind::kManifest) {
      ASSIGN_OR_RETURN(const OciManifest manifest, ParseManifest(document.content));
      ASSIGN_OR_RETURN(const std::string text, source_->ReadConfig(manifest.config));
      ASSIGN_OR_RETURN(const OciConfig config, ParseConfig(text));
      Add(config.platform);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const OciIndex index, ParseIndex(document.content));
    for (const Descriptor& manifest : index.manifests) {
      if (manifest.platform.has_value()) {
        Add(*manifest.platform);
        continue;
      }
      ASSIGN_OR_RETURN(const Document below, source_->ReadManifest(manifest));
      RETURN_IF_ERROR(AddDocument(below, depth + 1));
    }
    return absl::OkStatus();
  }

  std::vector<Platform> Take() { return std::move(platforms_); }

 private:
  void Add(const Platform& platform) {
    if (platform.os != "linux") return;
    for (const Platform& known : platforms_) {
      if (PlatformMatches(known, platform)) return;
    }
    platforms_.push_back(platform);
  }

  ImageSource* const source_;
  size_t documents_ = 0;
  std::vector<Platform> platforms_;
};

}  // namespace

absl::StatusOr<std::vector<Platform>> ListPlatforms(ImageSource& source) {
  ASSIGN_OR_RETURN(const Document root, source.Root());
  PlatformList list(&source);
  RETURN_IF_ERROR(list.AddDocument(root, 0));
  std::vector<Platform> platforms = list.Take();
  if (platforms.empty()) return NotFound("there is no image for Linux");
  return platforms;
}

absl::StatusOr<ResolvedImage> ResolveImage(ImageSource& source, const Platform& platform) {
  ASSIGN_OR_RETURN(Document document, source.Root());
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    ASSIGN_OR_RETURN(const DocumentKind kind,
                     ClassifyDocument(document.content, document.media_type));
    if (kind == DocumentKind::kManifest) return ResolveManifest(source, document, platform);
    ASSIGN_OR_RETURN(const OciIndex index, ParseIndex(document.content));
    ASSIGN_OR_RETURN(const Descriptor chosen, SelectManifest(index, platform));
    ASSIGN_OR_RETURN(document, source.ReadManifest(chosen));
  }
  return InvalidArgument("indexes are nested more than " + std::to_string(kMaxIndexDepth) +
                         " deep");
}

}  // namespace slacker
