// Times as people write them.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

// Seconds of "30d", "12h", "45m", "10s", "0"; at most a hundred years. INVALID_ARGUMENT for anything
// else.
absl::StatusOr<int64_t> ParseDuration(std::string_view text);

}  // namespace slacker
