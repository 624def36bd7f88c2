#include "backend/publish/signer.h"

#include <set>
#include <span>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/publish/layer_verifier.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

absl::StatusOr<std::set<Digest>> AllChains(Backend& backend) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(kManifestsPrefix));
  std::set<Digest> chains;
  for (const std::string& name : names) {
    if (const auto parsed = ParseManifestName(name); parsed.ok()) chains.insert(parsed->chain_id);
  }
  return chains;
}

absl::StatusOr<std::set<Digest>> Prefixes(const StoreReader& reader, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const Manifest manifest, reader.ReadManifest(chain_id));
  std::set<Digest> chains;
  std::vector<Digest> diff_ids;
  for (const ManifestLayer& layer : manifest.layers) {
    diff_ids.push_back(layer.diff_id);
    chains.insert(ChainId(diff_ids));
  }
  return chains;
}

}  // namespace

absl::StatusOr<SignReport> SignManifests(const std::shared_ptr<Backend>& backend,
                                         const std::optional<Digest>& chain_id,
                                         const SigningKey& key, const Trust& trust) {
  const StoreReader reader(backend, trust);
  ASSIGN_OR_RETURN(const std::set<Digest> chains,
                   chain_id.has_value() ? Prefixes(reader, *chain_id) : AllChains(*backend));
  LayerVerifier verifier(backend, trust);
  std::vector<Manifest> proved;
  for (const Digest& chain : chains) {
    ASSIGN_OR_RETURN(Manifest manifest, reader.ReadManifest(chain));
    if (trust.keys.empty()) RETURN_IF_ERROR(verifier.CheckManifest(manifest));
    proved.push_back(std::move(manifest));
  }
  SignReport report;
  report.damages = std::move(verifier.report().damages);
  if (!report.damages.empty()) return report;
  for (const Manifest& manifest : proved) {
    const std::string name = ManifestName(manifest.chain_id, key.public_key().id());
    const std::string bytes = EncodeManifest(manifest, &key);
    const auto present = backend->ReadWhole(name, kMaxManifestBytes);
    if (present.ok() && *present == bytes) {
      ++report.signed_already;
      continue;
    }
    RETURN_IF_ERROR(backend->Replace(name, bytes));
    ++report.manifests;
  }
  return report;
}

}  // namespace slacker
