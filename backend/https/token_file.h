#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace slacker::https {

// The bearer token in a file: its only line, at most 8 KiB of visible ASCII. UNAVAILABLE when it
// cannot be read or is none: somebody may be about to replace it.
absl::StatusOr<std::string> ReadToken(const std::string& path);

}  // namespace slacker::https
