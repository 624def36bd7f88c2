// What toml++ must not be given: it recurses into what is nested, also when it only takes it away
// again, and half a million levels ("a.a.a…") end the process.
#pragma once

#include <algorithm>
#include <string_view>

#include "absl/status/status.h"
#include "backend/base/status.h"

namespace slacker {

// INVALID_ARGUMENT for a text that may be nested too deeply. Each level but a few hundred, which
// toml++ counts itself, takes a dot, and no file of settings has so many of them.
inline absl::Status CheckTomlNesting(std::string_view text) {
  constexpr auto kMaxDots = 10'000;
  if (std::count(text.begin(), text.end(), '.') <= kMaxDots) return absl::OkStatus();
  return InvalidArgument("it has more than 10000 dots: too deeply nested");
}

}  // namespace slacker
