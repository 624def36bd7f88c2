// The documents at the top of an OCI image layout.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/export/image_sink.h"

namespace slacker {

inline constexpr std::string_view kLayoutFile = R"({"imageLayoutVersion":"1.0.0"})";

// index.json with this image added to `existing` (empty = none); an image of the same tag goes.
// INVALID_ARGUMENT: `existing` is no index.
absl::StatusOr<std::string> AddToIndex(std::string_view existing, const Descriptor& manifest,
                                       const ImageNames& names);

// "blobs/sha256/<hex>".
std::string LayoutBlobPath(const Digest& digest);

}  // namespace slacker
