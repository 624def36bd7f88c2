// Where an exported image goes: a layout, an archive, a registry.
//
// Model. Blobs first (configuration and layers), in any order; then the manifest, which makes the
// image visible. A sink that is destroyed without PutManifest has made nothing visible, but may
// leave blobs. Errors are those of the target, with its name in the message. Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/image_reference.h"
#include "backend/export/spool.h"
#include "backend/registry/registry_options.h"
#include "backend/source/oci_documents.h"

namespace slacker {

class ImageSink {
 public:
  virtual ~ImageSink() = default;
  // Puts a blob; does nothing where it is there already.
  virtual absl::Status PutBlob(const Descriptor& blob, const Spool& content) = 0;
  // Puts the manifest and names it. Call last, once.
  virtual absl::Status PutManifest(const Descriptor& manifest, std::string_view content) = 0;
};

// Under which names an archive or layout lists the image.
struct ImageNames {
  std::string tag;        // org.opencontainers.image.ref.name; may be empty
  std::string full_name;  // io.containerd.image.name: "docker.io/library/app:1"; may be empty
  Platform platform;
};

// oci: an image layout in `directory`, which is made if it is missing. Other images in its index
// stay; one of the same tag is replaced.
absl::StatusOr<std::unique_ptr<ImageSink>> OpenLayoutSink(const std::string& directory,
                                                          const ImageNames& names);
// oci-archive: a tar of such a layout. The file appears, or is replaced, when it is complete.
absl::StatusOr<std::unique_ptr<ImageSink>> OpenArchiveSink(const std::string& path,
                                                           const ImageNames& names);
// docker://REFERENCE: pushed to its tag; blobs that the repository has are not sent again, nor those
// that the registry can take from the repository that the image came from (`origin`, if known).
absl::StatusOr<std::unique_ptr<ImageSink>> OpenRegistrySink(
    const ImageReference& reference, const std::optional<ImageReference>& origin,
    const RegistryOptions& options);

}  // namespace slacker
