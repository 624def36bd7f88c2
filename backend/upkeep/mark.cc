#include "backend/upkeep/mark.h"

#include <algorithm>
#include <array>
#include <utility>

#include "backend/base/status.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

// What is larger than it may be is damaged; RESOURCE_EXHAUSTED would say that the store is full.
absl::StatusOr<std::string> ReadUpTo(Backend& backend, const std::string& name, uint64_t max) {
  auto bytes = backend.ReadWhole(name, max);
  if (absl::IsResourceExhausted(bytes.status())) return DataLoss(Message(bytes.status()));
  return bytes;
}

// The manifest called `name`, whose bytes are in the object `place`.
absl::StatusOr<Manifest> ReadManifestAt(Backend& backend, const std::string& place,
                                        const std::string& name) {
  const auto parsed = ParseManifestName(name);
  if (!parsed.ok()) return DataLoss("not the name of a manifest: " + name);
  ASSIGN_OR_RETURN(const std::string bytes, ReadUpTo(backend, place, kMaxManifestBytes));
  auto manifest = parsed->key_id.has_value()
                      ? DecodeManifestOfUnknownKey(bytes, parsed->chain_id, *parsed->key_id)
                      : DecodeManifest(bytes, parsed->chain_id, nullptr);
  if (!manifest.ok()) return Annotate(manifest.status(), place);
  return manifest;
}

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

  // Nothing, when it has gone or cannot be read.
  absl::StatusOr<StoreReferences> ReadReferences(const std::string& name) {
    const auto bytes = backend_->ReadWhole(name, kMaxReferencesBytes);
    if (absl::IsNotFound(bytes.status())) return StoreReferences{};
    auto references = bytes.ok() ? DecodeReferences(*bytes) : bytes.status();
    if (!absl::IsDataLoss(references.status()) && !absl::IsResourceExhausted(references.status())) {
      return references;
    }
    marks_.unreadable.push_back(name);
    return StoreReferences{};
  }

  absl::Status MarkIntents() {
    ASSIGN_OR_RETURN(const auto names, backend_->List(kIntentsPrefix));
    for (const std::string& name : names) {
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      // Of a publication that died: one that lives declares again before it commits.
      if (options_.now - info->modified_unix_seconds >= kDaySeconds) continue;
      ASSIGN_OR_RETURN(const StoreReferences intent, ReadReferences(name));
      marks_.records.insert(intent.records.begin(), intent.records.end());
      marks_.packs.insert(intent.packs.begin(), intent.packs.end());
      for (const Digest& chain : intent.chains) {
        marks_.chains.insert(chain);
        intents_.insert(chain);
      }
    }
    return absl::OkStatus();
  }

  absl::Status MarkImages() {
    for (const Digest& chain : intents_)
      RETURN_IF_ERROR(MarkChain(chain, Place::kPublished).status());
    std::vector<DamagedEntry> damaged;
    ASSIGN_OR_RETURN(const auto images, ListBareImages(*backend_, &damaged));
    if (!damaged.empty() && !options_.lenient) {
      return DataLoss(damaged[0].object + ": " + Message(damaged[0].status));
    }
    for (const ImageEntry& image : images) {
      marks_.chains.insert(image.chain_id);
      ASSIGN_OR_RETURN(const bool found, MarkChain(image.chain_id, Place::kPublished));
      if (!found && !options_.lenient) {
        return DataLoss("the manifest of " + image.name + ", " + image.chain_id.ToString() +
                        ", is missing");
      }
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
      ASSIGN_OR_RETURN(const StoreReferences lease, ReadReferences(name));
      marks_.leased_chains.insert(lease.chains.begin(), lease.chains.end());
    }
    const std::vector<Digest> leased(marks_.leased_chains.begin(), marks_.leased_chains.end());
    for (const Digest& chain : leased) {
      if (!marks_.chains.contains(chain))
        RETURN_IF_ERROR(MarkChain(chain, Place::kLeased).status());
    }
    // Their images may have been removed from the store: what was removed tells what they were. Listed
    // after all of these were looked for where they are removed from.
    ASSIGN_OR_RETURN(removed_, ListRemoved(*backend_));
    for (const Digest& chain : leased) {
      if (!marks_.chains.contains(chain)) {
        RETURN_IF_ERROR(MarkChain(chain, Place::kRemoved).status());
      }
    }
    return absl::OkStatus();
  }

  // Where manifests are looked for, and for whom.
  enum class Place { kPublished, kLeased, kRemoved };

  // Where its manifests are.
  absl::StatusOr<std::vector<std::string>> ManifestsOf(const Digest& chain, Place place) {
    const std::string folder = std::string(kManifestsPrefix) + chain.ToHex() + "/";
    if (place != Place::kRemoved) return backend_->List(folder);
    std::vector<std::string> names;
    for (auto it = removed_.lower_bound(folder);
         it != removed_.end() && it->first.starts_with(folder); ++it) {
      names.insert(names.end(), it->second.begin(), it->second.end());
    }
    return names;
  }

  // What the manifests of a chain and of its prefixes name; false when there is no manifest.
  absl::StatusOr<bool> MarkChain(const Digest& chain, Place place) {
    if (!done_[static_cast<size_t>(place)].insert(chain).second) return true;
    ASSIGN_OR_RETURN(const auto names, ManifestsOf(chain, place));
    bool found = false;
    for (const std::string& name : names) {
      const auto manifest = ReadManifestAt(
          *backend_, name, place == Place::kRemoved ? ParseFlatName(name).object : name);
      if (absl::IsNotFound(manifest.status()) || Lenient(manifest.status())) continue;
      RETURN_IF_ERROR(manifest.status());
      found = true;
      const bool published = place == Place::kPublished;
      for (const ManifestLayer& layer : manifest->layers) {
        marks_.records.insert(layer.record);
        if (published) Order(layer.record);
      }
      for (const Digest& prefix : PrefixChains(*manifest)) {
        (published ? marks_.chains : marks_.leased_chains).insert(prefix);
        if (prefix != chain) RETURN_IF_ERROR(MarkChain(prefix, place).status());
      }
    }
    return found;
  }

  void Order(const Digest& record) {
    if (in_order_.insert(record).second) marks_.record_order.push_back(record);
  }

  absl::Status MarkPacks(const Digest& record) {
    const std::string name = LocationsName(record);
    const auto bytes = ReadUpTo(*backend_, name, kMaxLocationsBytes);
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
  Removed removed_;
  std::array<absl::flat_hash_set<Digest>, 3> done_;  // of each Place
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
    case ObjectKind::kHead:
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

bool Marks::HasUnreadableIntent() const {
  return std::any_of(unreadable.begin(), unreadable.end(),
                     [](const std::string& name) { return name.starts_with(kIntentsPrefix); });
}

absl::StatusOr<Marks> Mark(Backend& backend, const MarkOptions& options) {
  return Marker(&backend, options).Run();
}

absl::StatusOr<Manifest> ReadAnyManifest(Backend& backend, const std::string& name) {
  return ReadManifestAt(backend, name, name);
}

}  // namespace slacker
