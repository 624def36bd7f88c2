// The image of sandboxes: one program, which does nothing.
//
// Made here, so that a site needs no image that is not measured. In every sandbox, pulled before anything
// is counted.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace slacker::hellobench {

inline constexpr char kPauseName[] = "pause";

// Makes an OCI layout of it.
absl::Status WritePauseImage(const std::string& layout);

}  // namespace slacker::hellobench
