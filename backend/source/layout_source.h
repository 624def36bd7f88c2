// Images in an OCI image layout (oci-layout, index.json, blobs/): a directory, or a tar of one.
#pragma once

#include <memory>
#include <string_view>

#include "backend/source/image_source.h"

namespace slacker {

// `tag` selects the entry of index.json with the annotation org.opencontainers.image.ref.name, or
// io.containerd.image.name; empty: index.json itself is the root. Nothing outside of `directory` is
// ever opened, whatever links there are in it, and nothing but regular files. NOT_FOUND when there
// is no layout or no such tag (at Root()).
absl::StatusOr<std::unique_ptr<ImageSource>> OpenLayoutSource(std::string_view directory,
                                                              std::string_view tag);

// The same for an archive, which is not unpacked: tar_file.h.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenOciArchiveSource(std::string_view file,
                                                                  std::string_view tag);

}  // namespace slacker
