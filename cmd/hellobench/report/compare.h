// `hellobench compare`: two measurements of the same setups, one beside the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hellobench/report/statistics.h"
#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// One time of a setup, in both files. Ratios are after / before: below 1 is faster.
struct Compared {
  std::string image;
  Spread before;
  Spread after;
  Ratio ratio;
};

// The setups of a system under the same conditions, for one of the times.
struct ComparedSystem {
  std::string system;
  std::string conditions;
  std::string time;  // "start", "second run", "publication"
  std::vector<Compared> images;
  Ratio all;  // over images
};

// A setup with no run that got there in one of the files, or in neither.
struct NotCompared {
  std::string system;
  std::string conditions;
  std::string image;
  std::string why;  // "only in A: 3 runs", "A: 3 of 3 runs failed (reason)", ...
};

struct Comparison {
  bool same_machine = true;
  std::vector<ComparedSystem> systems;
  std::vector<NotCompared> not_compared;
  std::string failures;  // "A: 0 of 12 runs failed, B: 2 of 12"
};

// "faster", "slower", "no difference shown"
std::string Verdict(const Ratio& ratio);

// FAILED_PRECONDITION if no setup can be compared.
absl::StatusOr<Comparison> Compare(const std::vector<Result>& before,
                                   const std::vector<Result>& after);
// Of two files: text, or with `json` an object; each ends its last line. Errors of reading, and those above.
absl::StatusOr<std::string> CompareFiles(const std::string& before, const std::string& after,
                                         bool json);
// For who reads it, and as one JSON object.
std::string ToText(const Comparison& comparison);
std::string ToJson(const Comparison& comparison);

}  // namespace slacker::hellobench
