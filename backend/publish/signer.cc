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

absl::Status WriteIfDifferent(Backend& backend, const std::string& name, const std::string& bytes,
                              bool* written) {
  const auto present = backend.ReadWhole(name, bytes.size());
  *written = !present.ok() || *present != bytes;
  return *written ? backend.Replace(name, bytes) : absl::OkStatus();
}

// Every grant of the chain that is proved in the same way as its manifest. Unsigned grants of a
// chain whose layers were recomputed are what the store's owner says.
absl::Status SignGrants(Backend& backend, const Digest& chain, const SigningKey& key,
                        const Trust& trust) {
  const std::string prefix = std::string(kGrantsPrefix) + chain.ToHex() + "/";
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(prefix));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const std::string bytes, backend.ReadWhole(name, kMaxGrantBytes));
    const auto found = DecodeUnprovedGrant(bytes);
    if (!found.ok() || name != GrantName(found->grant, found->key_id)) continue;
    bool proved = trust.keys.empty() && !found->key_id.has_value();
    for (const PublicKey& trusted : trust.keys) {
      proved = proved || DecodeGrant(bytes, found->grant, &trusted).ok();
    }
    bool written = false;
    if (proved) {
      RETURN_IF_ERROR(WriteIfDifferent(backend, GrantName(found->grant, key.public_key().id()),
                                       EncodeGrant(found->grant, &key), &written));
    }
  }
  return absl::OkStatus();
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
    RETURN_IF_ERROR(SignGrants(*backend, manifest.chain_id, key, trust));
    bool written = false;
    RETURN_IF_ERROR(WriteIfDifferent(*backend,
                                     ManifestName(manifest.chain_id, key.public_key().id()),
                                     EncodeManifest(manifest, &key), &written));
    ++(written ? report.manifests : report.signed_already);
  }
  return report;
}

}  // namespace slacker
