// Taking images out of a store: from then on nodes pull them the ordinary way. Their data stays
// until garbage is collected (gc.h); nodes that have them keep them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

struct RemovedImages {
  uint64_t entries = 0;
  uint64_t grants = 0;
  uint64_t manifests = 0;    // objects, of all keys
  uint64_t kept_chains = 0;  // prefixes that other images need
};

// Removes the entries; then the grants and manifests, of all keys, of these chains and of their
// prefixes, as far as no other image has them. Entries of other names for one of these chains keep
// it. A publication of such an image at the same time is not harmed. Can be repeated after an error.
// UNAVAILABLE also while there is an intent that cannot be read: the manifests stay until gc takes them.
absl::StatusOr<RemovedImages> RemoveImages(Backend& backend, const std::vector<ImageEntry>& entries,
                                           const std::vector<Digest>& chains);

}  // namespace slacker
