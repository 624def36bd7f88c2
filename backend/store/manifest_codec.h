// Manifests and image entries as bytes: protobuf (proto/store.proto) in an envelope, unsigned.
// Bytes: docs/formats.md, "Envelopes". Equal values have equal bytes, and decoding accepts no other
// bytes than those. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

inline constexpr uint64_t kMaxManifestBytes = 1 << 20;
inline constexpr uint64_t kMaxImageEntryBytes = 16 << 20;
inline constexpr size_t kMaxLayers = 4096;

// REQUIRES: 1 to kMaxLayers layers, whose chain ID is manifest.chain_id.
std::string EncodeManifest(const Manifest& manifest);
// DATA_LOSS unless it is a manifest of this chain.
absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes, const Digest& chain_id);

std::string EncodeImageEntry(const ImageEntry& image);
// DATA_LOSS unless it is an image entry.
absl::StatusOr<ImageEntry> DecodeImageEntry(std::string_view bytes);

}  // namespace slacker
