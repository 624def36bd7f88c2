// A measurement: images prepared, then run in the order of a schedule, every run a result.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backend/base/clock.h"
#include "cmd/hellobench/catalogue/catalogue.h"
#include "cmd/hellobench/plan/starts.h"
#include "cmd/hellobench/results/result.h"
#include "cmd/hellobench/site/site.h"

namespace slacker::hellobench {

struct MeasureOptions {
  std::string scenario = "start";
  std::vector<Link> links = {{}};      // one after the other
  std::vector<int64_t> at_once = {1};  // containers on each node; of each link, one after the other
  int64_t repetitions = 3;
  StartOptions start;
};

// How far it is.
struct MeasureProgress {
  size_t done = 0;  // of `total` steps: preparations and runs
  size_t total = 0;
  double seconds_left = 0;  // by what each system has taken until now; 0 before anything has
  std::string doing;        // "redis on slacker/nfs, 2 of 3"
};

struct MeasureHooks {
  // Every result, as soon as it is there. An error ends the measurement.
  std::function<absl::Status(const Result&)> take;
  std::function<void(const MeasureProgress&)> progress;  // before each step; may be null
};

// "slacker/nfs", or the snapshotter alone.
std::string NameOf(const System& system);

// First every image is prepared for every system, which gives results of scenario "prepare" (as of the
// first link and number: nodes have no part in it); then they run over each link, so many at once, in an
// order that `session.seed` gives. A preparation that fails is a result, and so are the runs that
// it makes impossible; a run that fails is a result. Blocking. Returns errors of `take`, and CANCELLED
// when interrupted.
absl::Status Measure(Site& site, const std::vector<Image>& images,
                     const std::vector<System>& systems, const Session& session,
                     const MeasureOptions& options, const Clock& clock, const MeasureHooks& hooks);

}  // namespace slacker::hellobench
