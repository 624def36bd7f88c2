// Taking images out of a store: from then on nodes pull them the ordinary way. Their data stays
// until garbage is collected (gc.h); nodes that have them keep them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

struct RemovedImages {
  uint64_t entries = 0;
  uint64_t replaced =
      0;  // entries that somebody has written anew since they were looked at: they stay
  uint64_t grants = 0;
  uint64_t manifests = 0;    // objects, of all keys
  uint64_t kept_chains = 0;  // prefixes that other images need
};

// Removes the entries, of each name no other than this one; then the grants and manifests, of all keys, of these chains and of their
// prefixes, as far as no other image has them. Entries of other names for one of these chains keep
// it. A publication of such an image at the same time is not harmed. Can be repeated after an error.
// UNAVAILABLE also while there is an intent that cannot be read: the manifests stay until gc takes them.
absl::StatusOr<RemovedImages> RemoveImages(Backend& backend, const std::vector<ImageEntry>& entries,
                                           const std::vector<Digest>& chains);

// What a removal that died has moved and not looked at any more, so many seconds ago or earlier: ends
// that, or puts another entry back where nobody has written the name anew. What it finds, also in a dry
// run, which changes nothing.
absl::StatusOr<std::vector<std::string>> FinishRemovals(Backend& backend, int64_t now,
                                                        int64_t after_seconds, bool dry_run);

}  // namespace slacker
