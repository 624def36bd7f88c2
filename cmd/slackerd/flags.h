// slackerd's command line.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "cmd/slackerd/config.h"

namespace slacker {

// The configuration from defaults, file and flags, in this order. Empty when the flags asked for
// text only (--help, --version), which has been printed. INVALID_ARGUMENT with a message for the
// user otherwise.
absl::StatusOr<std::optional<Config>> ReadFlags(int argc, const char* const* argv);

}  // namespace slacker
