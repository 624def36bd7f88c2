// JSON documents that nobody vouches for.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

// INVALID_ARGUMENT, with `what` as subject: no JSON object, or nested more than 64 deep (whoever writes
// such a document again recurses into it).
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view document, std::string_view what);

}  // namespace slacker
