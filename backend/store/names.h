// Names of the store's objects (docs/formats.md, "Names").
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

inline constexpr std::string_view kPacksPrefix = "packs/";
inline constexpr std::string_view kImagesPrefix = "images/";

std::string RecordName(const Digest& record);                            // records/<hex>
std::string TarName(const Digest& record);                               // tars/<hex>
std::string LocationsName(const Digest& record);                         // locations/<hex>
std::string ManifestName(const Digest& chain_id);                        // manifests/<hex>/unsigned
std::string PackName(const Digest& pack);                                // packs/<hex>
std::string PackIndexName(const Digest& pack);                           // packs/<hex>.idx
std::string ImageName(std::string_view name, const Platform& platform);  // images/<hex>

// The pack of an index's name. INVALID_ARGUMENT for any other name.
absl::StatusOr<Digest> ParsePackIndexName(std::string_view name);

}  // namespace slacker
