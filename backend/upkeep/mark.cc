#include "backend/upkeep/mark.h"

#include <optional>
#include <utility>

#include "backend/base/status.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"

namespace slacker {
namespace {

class Marker {
 public:
  Marker(Backend* backend, const MarkOptions& options) : backend_(backend), options_(options) {}

  absl::StatusOr<Marks> Run() {
    // Intents first: one that goes meanwhile leaves an image entry.
    RETURN_IF_ERROR(MarkIntents());
    RETURN_IF_ERROR(MarkImages());
    RETURN_IF_ERROR(MarkLeases());
    if (options_.packs) {
      for (const Digest& record : marks_.records) RETURN_IF_ERROR(MarkPacks(record));
    }
    return std::move(marks_);
  }

 private:
  // Whether `status` may be passed over.
  bool Lenient(const absl::Status& status) const {
    return options_.lenient && (absl::IsDataLoss(status) || absl::IsNotFound(status));
  }

  absl::StatusOr<StoreReferences> ReadReferences(const std::string& name) {
    ASSIGN_OR_RETURN(const std::string bytes, backend_->ReadWhole(name, kMaxReferencesBytes));
    auto references = DecodeReferences(bytes);
    if (!references.ok()) return Annotate(references.status(), name);
    return references;
  }

  absl::Status MarkIntents() {
    ASSIGN_OR_RETURN(const auto names, backend_->List(kIntentsPrefix));
    for (const std::string& name : names) {
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      // Of a publication that died: one that lives declares again before it commits.
      if (options_.now - info->modified_unix_seconds >= kDaySeconds) continue;
      const auto intent = ReadReferences(name);
      if (absl::IsNotFound(intent.status()) || Lenient(intent.status())) continue;
      RETURN_IF_ERROR(intent.status());
      marks_.records.insert(intent->records.begin(), intent->records.end());
      marks_.packs.insert(intent->packs.begin(), intent->packs.end());
      for (const Digest& chain : intent->chains) {
        marks_.chains.insert(chain);
        intents_.insert(chain);
      }
    }
    return absl::OkStatus();
  }

  absl::Status MarkImages() {
    for (const Digest& chain : intents_) RETURN_IF_ERROR(MarkChain(chain, {}).status());
    ASSIGN_OR_RETURN(marks_.images, ListImages(*backend_));
    ASSIGN_OR_RETURN(const auto names, backend_->List(kImagesPrefix));
    if (names.size() > marks_.images.size() && !options_.lenient) {
      RETURN_IF_ERROR(FindBadImage(names));
    }
    for (const ImageEntry& image : marks_.images) {
      marks_.chains.insert(image.chain_id);
      ASSIGN_OR_RETURN(const bool found, MarkChain(image.chain_id, {}));
      if (!found && !options_.lenient) {
        return DataLoss("the manifest of " + image.name + ", " + image.chain_id.ToString() +
                        ", is missing");
      }
    }
    return absl::OkStatus();
  }

  // An entry that ListImages left out.
  absl::Status FindBadImage(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const auto bytes = backend_->ReadWhole(name, kMaxImageEntryBytes);
      if (absl::IsNotFound(bytes.status())) continue;
      RETURN_IF_ERROR(bytes.status());
      RETURN_IF_ERROR(Annotate(DecodeImageEntry(*bytes).status(), name));
    }
    return absl::OkStatus();
  }

  absl::Status MarkLeases() {
    ASSIGN_OR_RETURN(const auto names, backend_->List(kLeasesPrefix));
    for (const std::string& name : names) {
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      if (options_.now - info->modified_unix_seconds > kLeaseSeconds) continue;
      const auto lease = ReadReferences(name);
      if (absl::IsNotFound(lease.status()) || Lenient(lease.status())) continue;
      RETURN_IF_ERROR(lease.status());
      for (const Digest& chain : lease->chains) {
        marks_.leased_chains.insert(chain);
        if (marks_.chains.contains(chain)) continue;
        // Its image may have been removed from the store: the trash tells what it was.
        RETURN_IF_ERROR(MarkChain(chain, "").status());
        RETURN_IF_ERROR(MarkChain(chain, kTrashPrefix).status());
      }
    }
    return absl::OkStatus();
  }

  // What the manifests of a chain and of its prefixes name; false when there is no manifest.
  // `below`: for leases, where they are looked for.
  absl::StatusOr<bool> MarkChain(const Digest& chain, std::optional<std::string_view> below) {
    auto& done = below.has_value() ? leased_done_ : done_;
    const std::string place(below.value_or(""));
    if (!done.insert(place + chain.ToHex()).second) return true;
    const std::string folder = place + std::string(kManifestsPrefix) + chain.ToHex() + "/";
    ASSIGN_OR_RETURN(const auto names, backend_->List(folder));
    bool found = false;
    for (const std::string& name : names) {
      const auto manifest = ReadAnyManifest(*backend_, name, place.size());
      if (absl::IsNotFound(manifest.status()) || Lenient(manifest.status())) continue;
      RETURN_IF_ERROR(manifest.status());
      found = true;
      for (const ManifestLayer& layer : manifest->layers) {
        marks_.records.insert(layer.record);
        if (!below.has_value()) Order(layer.record);
      }
      for (const Digest& prefix : PrefixChains(*manifest)) {
        (below.has_value() ? marks_.leased_chains : marks_.chains).insert(prefix);
        if (prefix != chain) RETURN_IF_ERROR(MarkChain(prefix, below).status());
      }
    }
    return found;
  }

  void Order(const Digest& record) {
    if (in_order_.insert(record).second) marks_.record_order.push_back(record);
  }

  absl::Status MarkPacks(const Digest& record) {
    const std::string name = LocationsName(record);
    const auto bytes = backend_->ReadWhole(name, kMaxLocationsBytes);
    if (Lenient(bytes.status())) return absl::OkStatus();
    if (absl::IsNotFound(bytes.status())) {
      // A publication declares a record before it writes it, and its packs, too.
      if (!in_order_.contains(record)) return absl::OkStatus();
      return DataLoss(name + " is missing");
    }
    RETURN_IF_ERROR(bytes.status());
    const auto packs = DecodePacksOfLocations(*bytes, record);
    if (Lenient(packs.status())) return absl::OkStatus();
    RETURN_IF_ERROR(packs.status());
    marks_.packs.insert(packs->begin(), packs->end());
    return absl::OkStatus();
  }

  Backend* const backend_;
  const MarkOptions options_;
  Marks marks_;
  absl::flat_hash_set<Digest> intents_;  // chains that are being published
  absl::flat_hash_set<std::string> done_, leased_done_;
  absl::flat_hash_set<Digest> in_order_;
};

}  // namespace

bool Marks::Has(const ObjectId& object) const {
  switch (object.kind) {
    case ObjectKind::kManifest:
    case ObjectKind::kGrant:
    case ObjectKind::kBootPack:
    case ObjectKind::kTrace:
    case ObjectKind::kLayerChain:
      return chains.contains(object.digest) || leased_chains.contains(object.digest);
    case ObjectKind::kRecord:
    case ObjectKind::kTar:
    case ObjectKind::kLocations:
      return records.contains(object.digest);
    case ObjectKind::kPack:
    case ObjectKind::kPackIndex:
      return packs.contains(object.digest);
    default:
      return true;
  }
}

bool Marks::IsPublished(const ObjectId& object) const {
  const bool of_chain = object.kind == ObjectKind::kManifest || object.kind == ObjectKind::kGrant ||
                        object.kind == ObjectKind::kBootPack || object.kind == ObjectKind::kTrace ||
                        object.kind == ObjectKind::kLayerChain;
  return of_chain ? chains.contains(object.digest) : Has(object);
}

absl::StatusOr<Marks> Mark(Backend& backend, const MarkOptions& options) {
  return Marker(&backend, options).Run();
}

absl::StatusOr<Manifest> ReadAnyManifest(Backend& backend, const std::string& name, size_t skip) {
  const auto parsed = ParseManifestName(std::string_view(name).substr(skip));
  if (!parsed.ok()) return DataLoss("not the name of a manifest: " + name);
  ASSIGN_OR_RETURN(const std::string bytes, backend.ReadWhole(name, kMaxManifestBytes));
  auto manifest = parsed->key_id.has_value()
                      ? DecodeManifestOfUnknownKey(bytes, parsed->chain_id, *parsed->key_id)
                      : DecodeManifest(bytes, parsed->chain_id, nullptr);
  if (!manifest.ok()) return Annotate(manifest.status(), name);
  return manifest;
}

std::vector<Digest> PrefixChains(const Manifest& manifest) {
  std::vector<Digest> chains;
  std::vector<Digest> diff_ids;
  for (const ManifestLayer& layer : manifest.layers) {
    diff_ids.push_back(layer.diff_id);
    chains.push_back(ChainId(diff_ids));
  }
  return chains;
}

}  // namespace slacker
