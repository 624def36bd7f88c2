// What was published under a name, for who knows the name but no chain ID.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "backend/store/store.h"

namespace slacker {

// `name` as in ImageEntry. A platform without a variant finds the image of the default one too, however it
// says so. Nothing in the entry is proved: it leads to a manifest, which is. NOT_FOUND, DATA_LOSS, and
// the errors of the backend. Blocks on the store: one round trip, on arm two at most.
absl::StatusOr<ImageEntry> FindImage(ReadBackend& backend, std::string_view name,
                                     const Platform& platform);

}  // namespace slacker
