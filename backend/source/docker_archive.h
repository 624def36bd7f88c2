// Images in what `docker save` writes: a tar with manifest.json, configurations and layers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/source/image_source.h"

namespace slacker {

// Both shapes: that of docker before 25 (layers in <id>/layer.tar, plain or compressed), and the
// newer one, which is an OCI layout as well; its manifest.json is what counts here, too. The archive
// is not unpacked: tar_file.h. `tag` is an image's name ("app:1.2"), completed as docker does;
// empty: the archive has one image. A manifest is made for it: the archive has none that fits its
// layers. NOT_FOUND: no such file, no manifest.json, no such tag (its message lists those that there
// are); INVALID_ARGUMENT: several images and no tag, malformed; DATA_LOSS: a file whose name is a
// digest has another one.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenDockerArchiveSource(std::string_view file,
                                                                     std::string_view tag);

// One item of manifest.json. INVALID_ARGUMENT names what is wrong.
struct DockerArchiveImage {
  std::string config;               // name of the configuration's file
  std::vector<std::string> names;   // "app:1.2"
  std::vector<std::string> layers;  // names of the layers' files, bottom first
};
absl::StatusOr<std::vector<DockerArchiveImage>> ParseDockerArchiveManifest(std::string_view json);

}  // namespace slacker
