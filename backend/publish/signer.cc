#include "backend/publish/signer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/publish/boot_verifier.h"
#include "backend/publish/layer_verifier.h"
#include "backend/store/boot_pack.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/start_trace.h"

namespace slacker {
namespace {

// More than any publisher makes: 32 MiB of records, and the pages of a trace.
constexpr uint64_t kMaxSignedPackBytes =
    (32 << 20) + kMaxTracePages * kTracePageBytes + kMaxBootTableBytes;

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

bool IsOfOneChain(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
}

std::string Whom(const Grant& grant) {
  return grant.repository.empty() ? "everybody" : "the readers of " + grant.repository;
}

// A grant of a store under one of its names.
struct StoredGrant {
  std::string name;
  std::string bytes;
  UnprovedGrant content;
};

absl::StatusOr<std::vector<StoredGrant>> ReadGrants(Backend& backend, const Digest& chain) {
  const std::string prefix = std::string(kGrantsPrefix) + chain.ToHex() + "/";
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(prefix));
  std::vector<StoredGrant> grants;
  for (const std::string& name : names) {
    auto bytes = backend.ReadWhole(name, kMaxGrantBytes);
    if (absl::IsNotFound(bytes.status()) || absl::IsResourceExhausted(bytes.status())) continue;
    RETURN_IF_ERROR(bytes.status());
    auto found = DecodeUnprovedGrant(*bytes);
    if (!found.ok() || name != GrantName(found->grant, found->key_id)) continue;
    grants.push_back({name, *std::move(bytes), *std::move(found)});
  }
  return grants;
}

// The grants of one chain: those that are proved, and those that the caller answers for.
absl::Status SignGrants(Backend& backend, const Digest& chain, const SigningKey& key,
                        const Trust& trust, const std::set<std::string>& unsigned_grants,
                        SignReport* report) {
  ASSIGN_OR_RETURN(const std::vector<StoredGrant> grants, ReadGrants(backend, chain));
  const bool any_signed = std::any_of(grants.begin(), grants.end(), [](const StoredGrant& grant) {
    return grant.content.key_id.has_value();
  });
  const PublicKey own = key.public_key();
  bool ours = false;
  std::vector<Damage> left;
  for (const StoredGrant& stored : grants) {
    const Grant& grant = stored.content.grant;
    const auto is_by = [&](const PublicKey& by) {
      return DecodeGrant(stored.bytes, grant, &by).ok();
    };
    if (is_by(own)) {
      ours = true;
      continue;
    }
    const bool has_key = stored.content.key_id.has_value();
    const bool said = !has_key && !any_signed && unsigned_grants.contains(grant.repository);
    if (!said && std::none_of(trust.keys.begin(), trust.keys.end(), is_by)) {
      left.push_back({stored.name,
                      "it grants the image to " + Whom(grant) +
                          (has_key ? ", but not by a trusted key" : ", but nothing proves that")});
      continue;
    }
    bool written = false;
    RETURN_IF_ERROR(
        WriteIfDifferent(backend, GrantName(grant, own.id()), EncodeGrant(grant, &key), &written));
    if (written) report->grants.push_back(grant);
    ours = true;
  }
  if (!ours) report->left.insert(report->left.end(), left.begin(), left.end());
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

// The chains of the images that have a name, with their prefixes, whoever signed them.
absl::StatusOr<std::set<Digest>> NamedChains(const std::shared_ptr<Backend>& backend,
                                             const StoreReader& reader) {
  ASSIGN_OR_RETURN(const std::vector<ImageEntry> images, ListBareImages(*backend));
  const StoreReader of_unsigned(backend);
  std::set<Digest> named;
  for (const ImageEntry& image : images) {
    if (named.contains(image.chain_id)) continue;
    absl::StatusOr<std::set<Digest>> chains = Prefixes(reader, image.chain_id);
    if (!chains.ok() && IsOfOneChain(chains.status()))
      chains = Prefixes(of_unsigned, image.chain_id);
    if (!chains.ok() && !IsOfOneChain(chains.status())) return chains.status();
    if (chains.ok()) named.insert(chains->begin(), chains->end());
  }
  return named;
}

// Declares what the manifests name (docs/adr/0015), and looks again: those that no image has any more, or that were
// published anew since they were proved, go. Whoever takes one of the others away from now on sees the
// declaration.
absl::Status KeepPublished(const std::shared_ptr<Backend>& backend, const StoreReader& reader,
                           Intent* intent, std::vector<Manifest>* proved, SignReport* report) {
  StoreReferences relied_on;
  for (const Manifest& manifest : *proved) {
    relied_on.chains.insert(manifest.chain_id);
    for (const ManifestLayer& layer : manifest.layers) relied_on.records.insert(layer.record);
  }
  RETURN_IF_ERROR(intent->Declare(relied_on));
  ASSIGN_OR_RETURN(const std::set<Digest> named, NamedChains(backend, reader));
  std::vector<Manifest> kept;
  for (Manifest& manifest : *proved) {
    if (!named.contains(manifest.chain_id)) continue;
    const auto now = reader.ReadManifest(manifest.chain_id);
    if (!now.ok() && !IsOfOneChain(now.status())) return now.status();
    if (now.ok() && EncodeManifest(*now, nullptr) == EncodeManifest(manifest, nullptr)) {
      kept.push_back(std::move(manifest));
    } else {
      report->left.push_back({std::string(kManifestsPrefix) + manifest.chain_id.ToHex(),
                              "it was published anew meanwhile"});
    }
  }
  *proved = std::move(kept);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SignReport> SignManifests(const std::shared_ptr<Backend>& backend,
                                         const std::optional<Digest>& chain_id,
                                         const SigningKey& key, const Trust& trust,
                                         const std::set<std::string>& unsigned_grants,
                                         const VerifyObserver& observer) {
  RETURN_IF_ERROR(CheckTrust(*backend, trust));
  const StoreReader reader(backend, trust);
  ASSIGN_OR_RETURN(const std::set<Digest> chains,
                   chain_id.has_value() ? Prefixes(reader, *chain_id) : AllChains(*backend));
  VerifyProgress progress = {.below = kManifestsPrefix, .objects = chains.size()};
  LayerVerifier verifier(backend, trust, [&](uint64_t bytes) {
    progress.read_bytes += bytes;
    if (observer) observer(progress);
  });
  SignReport report;
  std::vector<Manifest> proved;
  for (const Digest& chain : chains) {
    if (observer) observer(progress);
    ++progress.done;
    absl::StatusOr<Manifest> manifest = reader.ReadManifest(chain);
    if (!chain_id.has_value() && IsOfOneChain(manifest.status())) {
      report.left.push_back(
          {std::string(kManifestsPrefix) + chain.ToHex(), Message(manifest.status())});
      continue;
    }
    RETURN_IF_ERROR(manifest.status());
    if (trust.keys.empty()) RETURN_IF_ERROR(verifier.CheckManifest(*manifest));
    proved.push_back(*std::move(manifest));
  }
  report.damages = std::move(verifier.report().damages);
  if (!report.damages.empty() || proved.empty()) return report;
  Intent intent(backend.get());
  RETURN_IF_ERROR(KeepPublished(backend, reader, &intent, &proved, &report));
  if (chain_id.has_value() && proved.empty()) {
    return NotFound(chain_id->ToString() + " is no image's, or was published anew meanwhile");
  }
  SLACKER_FAILPOINT("sign.declared");
  for (const Manifest& manifest : proved) {
    RETURN_IF_ERROR(SignGrants(*backend, manifest.chain_id, key, trust, unsigned_grants, &report));
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
