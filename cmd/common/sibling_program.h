// Programs of one build lie beside each other.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace slacker {

// The directory of the running program.
absl::StatusOr<std::string> ProgramDirectory();

}  // namespace slacker
