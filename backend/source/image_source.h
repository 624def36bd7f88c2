// Where images come from: registries, OCI image layouts, archives, a containerd.
//
// Model. A source names one image: a root document (index or manifest), reached by its tag or
// digest; everything below it is addressed by digest. ResolveImage walks from the root to the
// manifest of one platform and to its configuration; the layers are opened one by one as streams
// of the blobs' own (mostly compressed) bytes.
//
// Everything that a source returns by digest has been verified against it: documents before they
// are returned; streams when they end: the last Next() answers DATA_LOSS instead of the end if
// size or digest are wrong. Whoever reads a stream must read it to its end.
//
// Errors: NOT_FOUND (no such image or blob), PERMISSION_DENIED (credentials), UNAVAILABLE and
// DEADLINE_EXCEEDED (the registry, after the source's own retries), INVALID_ARGUMENT (documents
// that are not an image's), FAILED_PRECONDITION (a containerd without a blob), RESOURCE_EXHAUSTED (a document beyond its limit), DATA_LOSS (wrong
// bytes). Thread-safe; streams are thread-compatible. A stream must not outlive its source.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/platform.h"
#include "backend/layer/tar_reader.h"
#include "backend/source/oci_documents.h"

namespace slacker {

struct Document {
  std::string media_type;  // from outside the document; may be empty
  Digest digest;           // of `content`
  std::string content;
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // "docker://docker.io/library/nginx:latest", "oci:/srv/layout:v1".
  virtual std::string Name() const = 0;
  virtual absl::StatusOr<Document> Root() = 0;
  // An index or manifest below the root.
  virtual absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) = 0;
  // A configuration; at most kMaxConfigBytes.
  virtual absl::StatusOr<std::string> ReadConfig(const Descriptor& descriptor) = 0;
  virtual absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) = 0;
  // The repository whose readers alone may have the image ("registry.example.com/app"), or "" when
  // it can be read without credentials. Asks the registry, if credentials were used.
  // REQUIRES: Root() was answered; what it answered last is the image that is meant.
  virtual absl::StatusOr<std::string> PrivateRepository() { return std::string(); }
  // Nobody wants the image any more: what waits for somebody else, requests and streams, fails soon
  // (CANCELLED). Sources that read files have nothing to do.
  virtual void Cancel() {}
};

// One platform's image of a source, checked for what can be checked without the layers.
struct ResolvedImage {
  Platform platform;
  Digest manifest_digest;
  std::vector<Descriptor> layers;  // bottom first, at least one
  std::vector<Digest> diff_ids;    // parallel to layers
  std::string config_json;
  std::string manifest_json;
};

// The Linux platforms that a source has images for, each once, in the order of its indexes; what is
// no image (attestations: "unknown/unknown") does not count. Reads at most 256 documents.
absl::StatusOr<std::vector<Platform>> ListPlatforms(ImageSource& source);

// NOT_FOUND when there is no image for `platform`; the message lists those that there are.
absl::StatusOr<ResolvedImage> ResolveImage(ImageSource& source, const Platform& platform);

}  // namespace slacker
