// The paper's experiments beside the starts of its images (FAST'16, figures 11 and 23).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker::hellobench {

struct Scenario {
  std::string_view name;
  std::string_view about;           // half a sentence
  std::vector<std::string> images;  // of scenarios.toml; none: the catalogue's
  std::vector<int64_t>
      at_once;         // containers on each node, one measurement for each; none: as asked for
  bool second = true;  // each runs a second time
};

const std::vector<Scenario>& Scenarios();
// INVALID_ARGUMENT, with the names there are, for any other.
absl::StatusOr<const Scenario*> FindScenario(std::string_view name);

}  // namespace slacker::hellobench
