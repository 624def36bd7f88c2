// The JSON documents of the OCI image spec (and their Docker forms): index, manifest,
// configuration. Parsers of bytes that nobody vouches for; INVALID_ARGUMENT names what is wrong.
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/platform.h"

namespace slacker {

inline constexpr uint64_t kMaxOciManifestBytes = 4 << 20;
inline constexpr uint64_t kMaxConfigBytes = 8 << 20;
// An image has at most this many layers (overlayfs users stop at 128).
inline constexpr size_t kMaxImageLayers = 1024;

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size_bytes = 0;
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

// An index lists manifests, a manifest lists layers.
struct OciIndex {
  std::vector<Descriptor> manifests;
};
struct OciManifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first
};
struct OciConfig {
  Platform platform;
  std::vector<Digest> diff_ids;  // bottom first
};

enum class DocumentKind { kIndex, kManifest };

// Which of the two `document` is, by its own mediaType, else by `media_type` (from the descriptor
// or the Content-Type header), else by its fields. Refuses a document that could be read as both,
// schema 1, and types that are no images.
absl::StatusOr<DocumentKind> ClassifyDocument(std::string_view document,
                                              std::string_view media_type);

absl::StatusOr<OciIndex> ParseIndex(std::string_view document);
// Refuses configurations of other artifacts (charts, signatures) and zero layers.
absl::StatusOr<OciManifest> ParseManifest(std::string_view document);
absl::StatusOr<OciConfig> ParseConfig(std::string_view document);

// The media type that a manifest says it has; OCI's, whose manifests need not say it.
std::string ManifestTypeOf(std::string_view manifest);

// INVALID_ARGUMENT for foreign (nondistributable) layers, encrypted ones and types that are no
// layers. How a layer is compressed its own bytes say (decompress.h).
absl::Status CheckLayerType(const Descriptor& layer);

}  // namespace slacker
