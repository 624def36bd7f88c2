// Images in an OCI image layout (a directory with oci-layout, index.json, blobs/).
#pragma once

#include <memory>
#include <string_view>

#include "backend/publish/image_source.h"

namespace slacker {

// `tag` selects the entry of index.json with the annotation org.opencontainers.image.ref.name;
// empty: index.json itself is the root. Nothing outside of `directory` is ever opened, whatever
// links there are in it, and nothing but regular files. NOT_FOUND when there is no layout or no
// such tag (at Root()).
absl::StatusOr<std::unique_ptr<ImageSource>> OpenLayoutSource(std::string_view directory,
                                                              std::string_view tag);

}  // namespace slacker
