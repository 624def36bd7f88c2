// Room that a store keeps for its own maintenance. Even to take something away needs some: the names
// that say so. A store that others, or publications, have filled to the last block gives the reserve back
// first. Publishers see to it that there is one; maintenance uses it, and sees to it again.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"

namespace slacker {

// Enough for some thousands of names, whatever blocks a file system is made of.
inline constexpr uint64_t kReserveBytes = 1 << 20;

// OK also when there is no room for it.
absl::Status KeepReserve(Backend& backend);
// Gives it back; false if there was none.
absl::StatusOr<bool> UseReserve(Backend& backend);

}  // namespace slacker
