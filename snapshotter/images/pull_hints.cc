#include "snapshotter/images/pull_hints.h"

#include "backend/base/image_reference.h"

namespace slacker {
namespace {

constexpr char kImageLayersHint[] = "containerd.io/snapshot/cri.image-layers";
constexpr char kImageRefHint[] = "containerd.io/snapshot/cri.image-ref";
constexpr char kManifestDigestHint[] = "containerd.io/snapshot/cri.manifest-digest";

}  // namespace

std::optional<Digest> PullHints::PullId() const {
  if (reference.empty() || !manifest_digest.has_value()) return std::nullopt;
  return Sha256::Of(reference + " " + manifest_digest->ToString());
}

PullHints ReadPullHints(const Labels& labels) {
  PullHints hints;
  if (const auto layers = labels.find(kImageLayersHint); layers != labels.end()) {
    // Those from this one up to the top.
    hints.says_not_top = layers->second.find(',') != std::string::npos;
  }
  if (const auto named = labels.find(kImageRefHint); named != labels.end()) {
    if (const auto reference = ParseImageReference(named->second); reference.ok()) {
      hints.reference = reference->ToString();
      hints.repository = reference->RepositoryName();
    }
  }
  if (const auto manifest = labels.find(kManifestDigestHint); manifest != labels.end()) {
    if (const auto digest = Digest::Parse(manifest->second); digest.ok()) {
      hints.manifest_digest = *digest;
    }
  }
  return hints;
}

}  // namespace slacker
