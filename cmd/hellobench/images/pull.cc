#include "cmd/hellobench/images/pull.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "backend/base/status.h"
#include "backend/export/image_sink.h"
#include "backend/source/layout_source.h"
#include "cmd/common/image_sources.h"

namespace slacker::hellobench {
namespace {

absl::StatusOr<Spool> Fetch(ImageSource& source, const Descriptor& blob) {
  ASSIGN_OR_RETURN(Spool spool, Spool::Open());
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> stream, source.OpenBlob(blob));
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view bytes, stream->Next());
    if (bytes.empty()) return spool;
    RETURN_IF_ERROR(spool.Append(bytes));
  }
}

// Whether `layout` has the blob, whole: its streams check what they give.
bool Has(ImageSource& layout, const Descriptor& blob) {
  const absl::StatusOr<std::unique_ptr<ByteSource>> stream = layout.OpenBlob(blob);
  if (!stream.ok()) return false;
  while (true) {
    const absl::StatusOr<std::string_view> bytes = (*stream)->Next();
    if (!bytes.ok()) return false;
    if (bytes->empty()) return true;
  }
}

}  // namespace

absl::StatusOr<PulledImage> PullImage(ImageSource& source, const Platform& platform,
                                      const std::string& directory, const std::string& name,
                                      const std::string& reference) {
  ASSIGN_OR_RETURN(const ResolvedImage image, ResolveImage(source, platform));
  ASSIGN_OR_RETURN(const OciManifest manifest, ParseManifest(image.manifest_json));
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageSink> sink,
                   OpenLayoutSink(directory, {name, reference, image.platform}));
  const auto kept = OpenLayoutSource(directory, "");  // fails for a new one
  PulledImage pulled;
  pulled.manifest_digest = image.manifest_digest;
  pulled.layers = image.layers.size();
  for (const Descriptor& layer : image.layers) {
    pulled.size_bytes += layer.size_bytes;
    if (kept.ok() && Has(**kept, layer)) continue;
    ASSIGN_OR_RETURN(const Spool content, Fetch(source, layer));
    RETURN_IF_ERROR(sink->PutBlob(layer, content));
    pulled.fetched_bytes += layer.size_bytes;
  }
  ASSIGN_OR_RETURN(const Spool config, Spool::Of(image.config_json));
  RETURN_IF_ERROR(sink->PutBlob(manifest.config, config));
  Descriptor described;
  described.media_type = ManifestTypeOf(image.manifest_json);
  described.digest = image.manifest_digest;
  described.size_bytes = image.manifest_json.size();
  RETURN_IF_ERROR(sink->PutManifest(described, image.manifest_json));
  return pulled;
}

void PullImages(const std::vector<Image>& images, const Platform& platform,
                const std::string& directory,
                const std::function<void(const Image&, const absl::StatusOr<PulledImage>&)>& done) {
  SourceOptions options;
  options.registry.credential_files = DefaultCredentialFiles();
  options.registry.hosts_directory = "/etc/containerd/certs.d";
  for (const Image& image : images) {
    const std::string& reference = image.task.image;
    const auto source = OpenImageSource("docker://" + reference, options);
    done(image, source.ok() ? PullImage(**source, platform, directory, image.name, reference)
                            : absl::StatusOr<PulledImage>(source.status()));
  }
}

std::string ToText(const Image& image, const PulledImage& pulled) {
  char sizes[100];
  (void)std::snprintf(sizes, sizeof sizes, "%zu layers, %.1f MB, %.1f MB of it fetched",
                      pulled.layers, static_cast<double>(pulled.size_bytes) / 1e6,
                      static_cast<double>(pulled.fetched_bytes) / 1e6);
  return image.name + ": " + pulled.manifest_digest.ToString() + ", " + sizes + "\n";
}

}  // namespace slacker::hellobench
