// Images as their registries have them, in an OCI image layout: `hellobench images pull`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/platform.h"
#include "backend/source/image_source.h"
#include "cmd/hellobench/catalogue/catalogue.h"

namespace slacker::hellobench {

struct PulledImage {
  Digest manifest_digest;
  size_t layers = 0;
  uint64_t size_bytes = 0;     // of all layers, as they are stored
  uint64_t fetched_bytes = 0;  // of these, what the layout did not have
};

// Puts the image of `platform`, byte for byte, into the layout in `directory`, which is made if it is
// missing: under `name`, in place of an image of that name, and with `reference` beside it. A layer that
// the layout has is read, and is not fetched again if it is whole. Others that pull into the layout
// wait. Errors are the source's and the layout's: then it has the images that it had, and maybe further
// blobs, which the next pull finds.
absl::StatusOr<PulledImage> PullImage(ImageSource& source, const Platform& platform,
                                      const std::string& directory, const std::string& name,
                                      const std::string& reference);

// Pulls each under its name in the catalogue, one after another, from its registry: with the
// credentials of docker and podman, over the mirrors that containerd has. `done` is told of each one how
// it went.
void PullImages(const std::vector<Image>& images, const Platform& platform,
                const std::string& directory,
                const std::function<void(const Image&, const absl::StatusOr<PulledImage>&)>& done);

// A line for people.
std::string ToText(const Image& image, const PulledImage& pulled);

}  // namespace slacker::hellobench
