// Intents and leases that count no more, or cannot be read: what a collection (gc.h) does about them before it
// looks at what is referred to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"

namespace slacker {

// By the store's clock `now`: removes intents of a day ago, and moves leases to quarantine/ that have been
// unreadable for a day. `actions` gets a line for each; with `dry_run` only that. Returns their names. What is
// written anew at the last moment stays.
absl::StatusOr<std::vector<std::string>> DropStaleReferences(Backend& backend, int64_t now,
                                                             bool dry_run,
                                                             std::vector<std::string>* actions);

}  // namespace slacker
