// Where the chunks of a record are, as bytes. Bytes: docs/formats.md, "Locations". Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

inline constexpr uint64_t kMaxLocationsBytes = uint64_t{256} << 20;
// What those of so many chunks have at most: each names at most one pack of its own.
uint64_t MaxLocationsBytes(uint64_t chunk_count);

// INVALID_ARGUMENT when a pack's name is not "packs/<64 hex digits>".
absl::StatusOr<std::string> EncodeLocations(const Locations& locations, const Digest& record);

// DATA_LOSS unless these are undamaged locations of this record with `chunk_count` rows, or with any
// number of them when it is not given. Every row refers to a pack of the list and to at most
// kMaxChunkSize bytes; whether the chunk is there, only its digest tells.
absl::StatusOr<Locations> DecodeLocations(std::string_view bytes, const Digest& record,
                                          std::optional<size_t> chunk_count);

// Only the packs that they name. DATA_LOSS unless these are undamaged locations of this record.
absl::StatusOr<std::vector<Digest>> DecodePacksOfLocations(std::string_view bytes,
                                                           const Digest& record);

}  // namespace slacker
