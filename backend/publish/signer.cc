#include "backend/publish/signer.h"

#include <set>
#include <span>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/publish/boot_verifier.h"
#include "backend/publish/layer_verifier.h"
#include "backend/store/boot_pack.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

// More than any publisher makes: 32 MiB of records, and 64 MiB of content.
constexpr uint64_t kMaxSignedPackBytes = 128 << 20;

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

// The chain's boot pack, if its pages are signed by one of those keys, or are the image's. NOT_FOUND:
// there is none. DATA_LOSS: it is damaged, or its pages are others.
absl::StatusOr<std::string> ReadProvedBootPack(const std::shared_ptr<Backend>& backend,
                                               const Digest& chain, const Trust& trust) {
  ASSIGN_OR_RETURN(std::string pack, backend->ReadWhole(BootPackName(chain), kMaxSignedPackBytes));
  if (pack.size() < kBootHeadBytes) return DataLoss("it is cut short");
  ASSIGN_OR_RETURN(const BootTable table, DecodeBootTable(pack, chain));
  if (table.pack_bytes != pack.size()) return DataLoss("it has another size than it says");
  if (!trust.keys.empty() && CheckBootSignature(pack, trust.keys).ok()) return pack;
  ASSIGN_OR_RETURN(const BootTable proved, VerifyBootPack(StoreReader(backend), chain));
  // Nobody signs but what was looked at.
  if (proved.checksum != table.checksum) return DataLoss("it was replaced meanwhile");
  return pack;
}

absl::Status SignBootPackOf(const std::shared_ptr<Backend>& backend, const Digest& chain,
                            const SigningKey& key, const Trust& trust, SignReport* report) {
  // Most chains are spared the reading: they have no pack, one without pages, or are signed already.
  const absl::Status is_signed = VerifyBootSignature(*backend, chain, {key.public_key()});
  if (is_signed.ok() || absl::IsNotFound(is_signed)) return absl::OkStatus();
  auto pack = ReadProvedBootPack(backend, chain, trust);
  if (absl::IsDataLoss(pack.status()) || absl::IsNotFound(pack.status()) ||
      absl::IsResourceExhausted(pack.status())) {
    report->left.push_back({BootPackName(chain), Message(pack.status())});
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(pack.status());
  SignBootPack(key, &*pack);
  RETURN_IF_ERROR(backend->Replace(BootPackName(chain), *pack));
  ++report->boot_packs;
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
    RETURN_IF_ERROR(SignBootPackOf(backend, manifest.chain_id, key, trust, &report));
  }
  return report;
}

}  // namespace slacker
