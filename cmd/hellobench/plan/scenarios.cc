#include "cmd/hellobench/plan/scenarios.h"

#include "backend/base/status.h"

namespace slacker::hellobench {

const std::vector<Scenario>& Scenarios() {
  static const std::vector<Scenario> scenarios = {
      {"start", "images of the catalogue from nothing until they are ready", {}, {}, true},
      {"scalability",
       "images of 1, 10 and 100 MB, all of which is read, 1 to 32 at once",
       {"scale-1m", "scale-10m", "scale-100m"},
       {1, 2, 4, 8, 16, 32},
       false},
      {"depth", "opening files of each of 16 layers", {"depth"}, {}, false},
      {"copy-up", "appending a byte to files of 1 MB to 1 GB", {"copy-up"}, {}, false},
  };
  return scenarios;
}

absl::StatusOr<const Scenario*> FindScenario(std::string_view name) {
  std::string all;
  for (const Scenario& scenario : Scenarios()) {
    if (scenario.name == name) return &scenario;
    all += (all.empty() ? "" : ", ") + std::string(scenario.name);
  }
  return InvalidArgument("scenario \"" + std::string(name) + "\": must be one of " + all);
}

}  // namespace slacker::hellobench
