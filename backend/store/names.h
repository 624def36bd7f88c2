// Names of the store's objects (docs/formats.md, "Names").
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

inline constexpr std::string_view kPacksPrefix = "packs/";
inline constexpr std::string_view kManifestsPrefix = "manifests/";
inline constexpr std::string_view kGrantsPrefix = "grants/";
inline constexpr std::string_view kImagesPrefix = "images/";
inline constexpr std::string_view kBootPrefix = "boot/";
inline constexpr std::string_view kRecordsPrefix = "records/";
inline constexpr std::string_view kLayersPrefix = "layers/";
inline constexpr std::string_view kTarsPrefix = "tars/";
inline constexpr std::string_view kHeadsPrefix = "heads/";
inline constexpr std::string_view kLocationsPrefix = "locations/";
inline constexpr std::string_view kIndexesPrefix = "indexes/";
inline constexpr std::string_view kIntentsPrefix = "intents/";
inline constexpr std::string_view kLeasesPrefix = "leases/";
inline constexpr std::string_view kTrashPrefix = "trash/";
// Room that is given back when the store is full (reserve.h).
inline constexpr std::string_view kReserveName = "trash/reserve";
inline constexpr std::string_view kQuarantinePrefix = "quarantine/";
inline constexpr std::string_view kRemovedPrefix = "removed/";

std::string RecordName(const Digest& record);     // records/<hex>
std::string TarName(const Digest& record);        // tars/<hex>
std::string LocationsName(const Digest& record);  // locations/<hex>
// heads/<hex>/<hex of the blob>
std::string HeadName(const Digest& record, const Digest& blob);
std::string BootPackName(const Digest& chain_id);  // boot/<hex>
// manifests/<hex>/<key ID>, or manifests/<hex>/unsigned without a key
std::string ManifestName(const Digest& chain_id, const std::optional<Digest>& key_id);
std::string PackName(const Digest& pack);                                // packs/<hex>
std::string PackIndexName(const Digest& pack);                           // packs/<hex>.idx
std::string ImageName(std::string_view name, const Platform& platform);  // images/<hex>

// grants/<hex>/<SHA-256 of the repository, or "public">/<key ID, or "unsigned">
std::string GrantName(const Grant& grant, const std::optional<Digest>& key_id);
// layers/<diff ID>/<repository, as in a grant>/: what is below it are chains that end in this layer
// and are granted to that repository, "" = anybody.
std::string LayerChainsPrefix(const Digest& diff_id, const std::string& repository);
// layers/<diff ID>/<repository>/<chain ID>
std::string LayerChainName(const Digest& diff_id, const Grant& grant);
struct ParsedLayerChainName {
  Digest diff_id;
  Digest chain_id;
};
// INVALID_ARGUMENT for any other name.
absl::StatusOr<ParsedLayerChainName> ParseLayerChainName(std::string_view name);

// What the name of a manifest says. INVALID_ARGUMENT for any other name.
struct ParsedManifestName {
  Digest chain_id;
  std::optional<Digest> key_id;
};
absl::StatusOr<ParsedManifestName> ParseManifestName(std::string_view name);

// The pack of an index's name. INVALID_ARGUMENT for any other name.
absl::StatusOr<Digest> ParsePackIndexName(std::string_view name);
// The same for packs, and for the digests in other names of the form PREFIX<64 hex digits>.
absl::StatusOr<Digest> ParsePackName(std::string_view name);
absl::StatusOr<Digest> ParseIndexName(std::string_view name);
absl::StatusOr<Digest> ParseDigestName(std::string_view name, std::string_view prefix);

std::string IndexName(const Digest& id);  // indexes/<hex>
// trash/<name> and removed/<name>, with "_" for each "/" of the name: one directory each, which
// nothing needs to be made in before something can go. Behind a "." there may be an ID: of the
// collection that is about to remove the object (ClaimName), of the removal (RemovedName).
std::string TrashName(std::string_view condemned);
std::string ClaimName(std::string_view condemned, std::string_view run);
std::string RemovedName(std::string_view name, std::string_view id);
// 32 hex digits, which nobody else uses: first 16 of the store's time, then random ones.
std::string NewMaintenanceId(int64_t now_unix_seconds);
int64_t TimeOfMaintenanceId(std::string_view id);
// What a name below trash/ or removed/ says.
struct FlatName {
  std::string object;  // the name of the object
  std::string id;      // or empty
};
FlatName ParseFlatName(std::string_view name);
std::string QuarantineName(std::string_view name);  // quarantine/<name>

}  // namespace slacker
