#include "backend/upkeep/image_users.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "backend/base/status.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"

namespace slacker {
namespace {

using Users = absl::flat_hash_map<Digest, std::vector<std::string>>;

bool IsOfAPack(const ObjectId& object) {
  return object.kind == ObjectKind::kPack || object.kind == ObjectKind::kPackIndex;
}

// "chunk sha256:… of records/…" stands for its record.
ObjectId IdentifyDamaged(std::string_view object) {
  const size_t record = object.find(std::string(" of ") + std::string(kRecordsPrefix));
  return IdentifyObject(record == std::string_view::npos ? object : object.substr(record + 4));
}

class UserMap {
 public:
  UserMap(Backend* backend, bool packs) : backend_(backend), packs_(packs) {}

  absl::Status Read() {
    ASSIGN_OR_RETURN(const std::vector<ImageEntry> images, ListBareImages(*backend_));
    for (const ImageEntry& image : images) RETURN_IF_ERROR(Add(image));
    return absl::OkStatus();
  }

  std::vector<std::string> Of(const ObjectId& object) const {
    const auto found = users_.find(object.digest);
    if (found == users_.end()) return {};
    std::vector<std::string> names = found->second;
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

 private:
  absl::Status Add(const ImageEntry& image) {
    users_[image.chain_id].push_back(image.name);
    ASSIGN_OR_RETURN(const auto names,
                     backend_->List(std::string(kManifestsPrefix) + image.chain_id.ToHex() + "/"));
    for (const std::string& name : names) {
      const auto manifest = ReadAnyManifest(*backend_, name);
      if (IsLost(manifest.status())) continue;
      RETURN_IF_ERROR(manifest.status());
      for (const Digest& prefix : PrefixChains(*manifest)) users_[prefix].push_back(image.name);
      for (const ManifestLayer& layer : manifest->layers) {
        users_[layer.record].push_back(image.name);
        if (packs_) RETURN_IF_ERROR(AddPacks(layer.record, image.name));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddPacks(const Digest& record, const std::string& image) {
    const auto bytes = backend_->ReadWhole(LocationsName(record), kMaxLocationsBytes);
    if (IsLost(bytes.status())) return absl::OkStatus();
    RETURN_IF_ERROR(bytes.status());
    const auto packs = DecodePacksOfLocations(*bytes, record);
    if (!packs.ok()) return absl::OkStatus();
    for (const Digest& pack : *packs) users_[pack].push_back(image);
    return absl::OkStatus();
  }

  Backend* const backend_;
  const bool packs_;
  Users users_;  // of chains, records and packs, which cannot be taken for one another
};

// As for a collection, to which damage on the way says that anything may be in use.
absl::Status FindUnused(Backend& backend, bool packs, std::vector<Damage>* damages) {
  const auto marks = Mark(backend, {.packs = packs});
  if (IsLost(marks.status())) return absl::OkStatus();
  RETURN_IF_ERROR(marks.status());
  for (Damage& damage : *damages) {
    const ObjectId id = IdentifyDamaged(damage.object);
    if (IsOfAPack(id) != packs || !IsCondemnable(id.kind)) continue;
    damage.unused = !marks->MayNeed(id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status NameUsers(Backend& backend, std::vector<Damage>* damages) {
  if (damages->empty()) return absl::OkStatus();
  const bool packs = std::any_of(damages->begin(), damages->end(), [](const Damage& damage) {
    return IsOfAPack(IdentifyDamaged(damage.object));
  });
  UserMap users(&backend, packs);
  RETURN_IF_ERROR(users.Read());
  for (Damage& damage : *damages) damage.images = users.Of(IdentifyDamaged(damage.object));
  RETURN_IF_ERROR(FindUnused(backend, /*packs=*/false, damages));
  return packs ? FindUnused(backend, /*packs=*/true, damages) : absl::OkStatus();
}

}  // namespace slacker
