#include "backend/publish/verifier.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/publish/boot_verifier.h"
#include "backend/publish/layer_verifier.h"
#include "backend/publish/pack_verifier.h"
#include "backend/store/blob_head.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

absl::Status CheckBootPackOf(const StoreReader& reader, const Digest& chain_id, const Trust& trust,
                             VerifyReport* report) {
  RETURN_IF_ERROR(VerifyBootPack(reader, chain_id).status());
  const absl::Status proved = VerifyBootSignature(reader.backend(), chain_id, trust.keys);
  if (!absl::IsFailedPrecondition(proved)) return proved;
  report->untrusted.push_back(
      {BootPackName(chain_id), "its pages are not signed by a trusted key"});
  return absl::OkStatus();
}

absl::Status PrefixIsMissing(const Digest& top) {
  return DataLoss("it is not in the store, but " + top.ToString() + " stands on it");
}

// Everything in a store; one thread.
class StoreVerifier {
 public:
  StoreVerifier(const std::shared_ptr<Backend>& backend, const Trust& trust,
                const VerifyObserver& observer)
      : backend_(backend),
        trust_(trust),
        observer_(observer),
        reader_(backend),
        layers_(backend, trust, [this](uint64_t bytes) { HaveRead(bytes); }) {}

  absl::StatusOr<VerifyReport> Run() {
    RETURN_IF_ERROR(ForEach(kManifestsPrefix, &StoreVerifier::CheckManifest));
    RETURN_IF_ERROR(ForEach(kGrantsPrefix, &StoreVerifier::CheckGrant));
    if (!trust_.keys.empty()) FindUntrusted();
    RETURN_IF_ERROR(ForEach(kLayersPrefix, &StoreVerifier::CheckLayerChain));
    RETURN_IF_ERROR(ForEach(kRecordsPrefix, &StoreVerifier::CheckRecord));
    RETURN_IF_ERROR(ForEach(kTarsPrefix, &StoreVerifier::CheckTar));
    RETURN_IF_ERROR(ForEach(kHeadsPrefix, &StoreVerifier::CheckHead));
    RETURN_IF_ERROR(ForEach(kLocationsPrefix, &StoreVerifier::CheckLocations));
    RETURN_IF_ERROR(ForEach(kPacksPrefix, &StoreVerifier::CheckPack));
    RETURN_IF_ERROR(ForEach(kBootPrefix, &StoreVerifier::CheckBootPack));
    RETURN_IF_ERROR(ForEach(kImagesPrefix, &StoreVerifier::CheckImage));
    return std::move(layers_.report());
  }

 private:
  // Calls `check` for each name below `prefix`, and takes its answer for damage of that object.
  absl::Status ForEach(std::string_view prefix,
                       absl::Status (StoreVerifier::*check)(const std::string&)) {
    ASSIGN_OR_RETURN(names_, backend_->List(prefix));
    progress_.below = prefix;
    progress_.done = 0;
    progress_.objects = names_.size();
    for (const std::string& name : names_) {
      HaveRead(0);
      RETURN_IF_ERROR(layers_.Note(name, (this->*check)(name)));
      ++progress_.done;
    }
    return absl::OkStatus();
  }

  void HaveRead(uint64_t bytes) {
    progress_.read_bytes += bytes;
    if (observer_) observer_(progress_);
  }

  absl::Status CheckManifest(const std::string& name) {
    const absl::StatusOr<ParsedManifestName> parsed = ParseManifestName(name);
    if (!parsed.ok()) return absl::OkStatus();  // nobody looks there
    Digest& top = tops_[parsed->chain_id];
    ASSIGN_OR_RETURN(const std::string bytes, backend_->ReadWhole(name, kMaxManifestBytes));
    ASSIGN_OR_RETURN(const Manifest manifest, Decode(bytes, *parsed));
    top = manifest.layers.back().diff_id;
    Digest below;
    for (const Digest& chain : PrefixChains(manifest)) {
      below_.emplace(chain, below);
      below = chain;
    }
    return layers_.CheckManifest(manifest);
  }

  absl::StatusOr<Manifest> Decode(std::string_view bytes, const ParsedManifestName& name) {
    if (!name.key_id.has_value()) return DecodeManifest(bytes, name.chain_id, nullptr);
    for (const PublicKey& key : trust_.keys) {
      if (key.id() != *name.key_id) continue;
      auto manifest = DecodeManifest(bytes, name.chain_id, &key);
      if (absl::IsFailedPrecondition(manifest.status()))
        return DataLoss(Message(manifest.status()));
      if (manifest.ok()) {
        ++layers_.report().signatures;
        signed_.insert(name.chain_id);
      }
      return manifest;
    }
    ++layers_.report().unknown_signatures;
    return DecodeManifestOfUnknownKey(bytes, name.chain_id, *name.key_id);
  }

  absl::Status CheckGrant(const std::string& name) {
    ASSIGN_OR_RETURN(const std::string bytes, backend_->ReadWhole(name, kMaxGrantBytes));
    ASSIGN_OR_RETURN(const UnprovedGrant found, DecodeUnprovedGrant(bytes));
    if (name != GrantName(found.grant, found.key_id)) return DataLoss("it grants something else");
    for (const PublicKey& key : trust_.keys) {
      if (key.id() != found.key_id) continue;
      const absl::Status proved = DecodeGrant(bytes, found.grant, &key);
      if (!proved.ok()) return DataLoss(Message(proved));
      granted_.insert(found.grant.chain_id);
      return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  // What nodes with these keys would say of each chain.
  void FindUntrusted() {
    for (const auto& [chain, top] : tops_) {
      if (!signed_.contains(chain)) {
        Distrust(kManifestsPrefix, chain, "not signed by a trusted key");
      } else if (!granted_.contains(chain)) {
        Distrust(kGrantsPrefix, chain, "for nobody: no grant is signed by a trusted key");
      }
    }
  }
  void Distrust(std::string_view prefix, const Digest& chain, const std::string& what) {
    layers_.report().untrusted.push_back({std::string(prefix) + chain.ToHex(), what});
  }

  // One of a chain that has been removed is garbage, not damage.
  absl::Status CheckLayerChain(const std::string& name) {
    const absl::StatusOr<ParsedLayerChainName> parsed = ParseLayerChainName(name);
    if (!parsed.ok()) return absl::OkStatus();  // nobody looks there
    const auto info = backend_->Stat(name);
    if (absl::IsNotFound(info.status())) return absl::OkStatus();  // removed meanwhile
    RETURN_IF_ERROR(info.status());
    if (info->size_bytes != 0) return DataLoss("it is not empty");
    const auto top = tops_.find(parsed->chain_id);
    if (top == tops_.end() || top->second == Digest() || top->second == parsed->diff_id) {
      return absl::OkStatus();
    }
    return DataLoss("this chain does not end in this layer");
  }

  absl::Status CheckRecord(const std::string& name) {
    const absl::StatusOr<Digest> record = ParseDigestName(name, kRecordsPrefix);
    return record.ok() ? layers_.CheckLooseRecord(*record) : absl::OkStatus();
  }

  absl::Status CheckTar(const std::string& name) {
    const absl::StatusOr<Digest> record = ParseDigestName(name, kTarsPrefix);
    return record.ok() ? layers_.CheckLooseTar(*record)
                       : absl::OkStatus();  // or nobody looks there
  }

  absl::Status CheckHead(const std::string& name) {
    const absl::Status sound = ReadBlobHead(*backend_, name).status();
    return absl::IsNotFound(sound) ? absl::OkStatus() : sound;  // removed meanwhile
  }

  absl::Status CheckLocations(const std::string& name) {
    const absl::StatusOr<Digest> record = ParseDigestName(name, kLocationsPrefix);
    return record.ok() ? layers_.CheckLooseLocations(*record) : absl::OkStatus();
  }

  // A pack with its index, or what there is of the two.
  absl::Status CheckPack(const std::string& name) {
    const auto read = [this](uint64_t bytes) { HaveRead(bytes); };
    if (const absl::StatusOr<Digest> pack = ParsePackName(name); pack.ok()) {
      if (std::binary_search(names_.begin(), names_.end(), PackIndexName(*pack))) {
        return absl::OkStatus();
      }
      ++layers_.report().loose_packs;
      const absl::Status sound = VerifyPackBytes(*backend_, *pack, read);
      return absl::IsNotFound(sound) ? absl::OkStatus() : sound;  // removed meanwhile
    }
    const absl::StatusOr<Digest> pack = ParsePackIndexName(name);
    if (!pack.ok()) return absl::OkStatus();
    ++layers_.report().packs;
    const auto bytes = backend_->ReadWhole(name, kMaxPackIndexBytes);
    const auto index = bytes.ok() ? DecodePackIndex(*bytes, *pack) : bytes.status();
    if (index.ok()) return layers_.Note(PackName(*pack), VerifyPack(*backend_, *index, read));
    if (!IsDamage(index.status())) return index.status();
    const absl::Status sound = VerifyPackBytes(*backend_, *pack, read);
    if (!absl::IsNotFound(sound)) RETURN_IF_ERROR(layers_.Note(PackName(*pack), sound));
    return index.status();
  }

  absl::Status CheckBootPack(const std::string& name) {
    const absl::StatusOr<Digest> chain =
        Digest::FromHex(std::string_view(name).substr(kBootPrefix.size()));
    if (!chain.ok()) return absl::OkStatus();  // nobody looks there
    return CheckBootPackOf(reader_, *chain, trust_, &layers_.report());
  }

  absl::Status CheckImage(const std::string& name) {
    if (!ParseDigestName(name, kImagesPrefix).ok()) return absl::OkStatus();  // nobody looks there
    ASSIGN_OR_RETURN(const std::string bytes, backend_->ReadWhole(name, kMaxImageEntryBytes));
    ASSIGN_OR_RETURN(const ImageEntry image, DecodeImageEntry(bytes));
    if (name != ImageName(image.name, image.platform)) {
      return DataLoss("it is the entry of another image, " + image.name);
    }
    ASSIGN_OR_RETURN(const bool has_manifest, HasManifest(image.chain_id));
    if (!has_manifest) {
      return DataLoss("the manifest of " + image.name + ", " + image.chain_id.ToString() +
                      ", is not in the store");
    }
    return CheckPrefixes(image.chain_id);
  }

  absl::StatusOr<bool> HasManifest(const Digest& chain) {
    if (tops_.contains(chain)) return true;
    // Or has it been published since manifests were listed?
    ASSIGN_OR_RETURN(const auto names,
                     backend_->List(std::string(kManifestsPrefix) + chain.ToHex() + "/"));
    return std::any_of(names.begin(), names.end(),
                       [](const std::string& name) { return ParseManifestName(name).ok(); });
  }

  // Pulls ask for the chains of an image from the bottom up, and end being lazy at the first that is not there.
  absl::Status CheckPrefixes(const Digest& top) {
    for (auto it = below_.find(top); it != below_.end(); it = below_.find(it->second)) {
      const Digest& prefix = it->second;
      if (prefix == Digest() || !prefixes_.insert(prefix).second) break;
      ASSIGN_OR_RETURN(const bool has_manifest, HasManifest(prefix));
      if (has_manifest) continue;
      RETURN_IF_ERROR(layers_.Note(ManifestName(prefix, std::nullopt), PrefixIsMissing(top)));
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<Backend> backend_;
  const Trust trust_;
  const VerifyObserver& observer_;
  VerifyProgress progress_;
  std::vector<std::string> names_;  // that are being looked at
  const StoreReader reader_;        // of what has a digest
  LayerVerifier layers_;
  // Published chains, and the diff IDs that they end in: zeros where the manifest is unreadable.
  std::map<Digest, Digest> tops_;
  // Each chain without its top layer, that a manifest tells of: zeros where nothing is left.
  std::map<Digest, Digest> below_;
  std::set<Digest> prefixes_;  // of images: have been looked for
  // Chains with a manifest, and with a grant, that a trusted key has signed.
  std::set<Digest> signed_, granted_;
};

}  // namespace

absl::StatusOr<VerifyReport> VerifyChain(const std::shared_ptr<ReadBackend>& backend,
                                         const Digest& chain_id, const Trust& trust) {
  LayerVerifier verifier(backend, trust);
  const absl::Status status = verifier.CheckChain(chain_id);
  if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) return status;
  if (status.ok() && !trust.keys.empty()) ++verifier.report().signatures;
  RETURN_IF_ERROR(verifier.Note("manifest of " + chain_id.ToString(), status));
  const absl::Status boot =
      CheckBootPackOf(StoreReader(backend), chain_id, trust, &verifier.report());
  // Only the tops of images have one.
  if (!absl::IsNotFound(boot)) RETURN_IF_ERROR(verifier.Note(BootPackName(chain_id), boot));
  return std::move(verifier.report());
}

absl::StatusOr<VerifyReport> VerifyStore(const std::shared_ptr<Backend>& backend,
                                         const Trust& trust, const VerifyObserver& observer) {
  ASSIGN_OR_RETURN(VerifyReport first, StoreVerifier(backend, trust, observer).Run());
  if (first.damages.empty()) return first;
  // Others publish, remove and collect meanwhile, and what is gone because it was removed looks like
  // damage. Real damage is still there when one looks again.
  std::set<std::string> damaged;
  for (const Damage& damage : first.damages) damaged.insert(damage.object);
  ASSIGN_OR_RETURN(VerifyReport second, StoreVerifier(backend, trust, observer).Run());
  std::erase_if(second.damages,
                [&damaged](const Damage& damage) { return !damaged.contains(damage.object); });
  return second;
}

}  // namespace slacker
