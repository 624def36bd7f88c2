// Filters of List: the input as one filter, and each of its lines as one.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "backend/base/check.h"
#include "snapshotter/filter/filter.h"

namespace {

using slacker::Candidates;
using slacker::FilterSet;
using slacker::SnapshotInfo;

bool Admits(const Candidates& candidates, const SnapshotInfo& info) {
  const auto ref = info.labels.find(std::string(slacker::kRefLabel));
  return candidates.name.value_or(info.name) == info.name &&
         candidates.parent.value_or(info.parent) == info.parent &&
         (!candidates.ref || (ref != info.labels.end() && ref->second == *candidates.ref));
}

void Filter(const std::vector<std::string>& filters, const SnapshotInfo& info) {
  const auto set = FilterSet::Parse(filters);
  if (!set.ok()) {
    SLACKER_CHECK(set.status().code() == absl::StatusCode::kInvalidArgument, "nothing else");
    return;
  }
  if (!set->Matches(info)) return;
  const std::vector<Candidates> sets = set->CandidateSets();
  SLACKER_CHECK(std::any_of(sets.begin(), sets.end(),
                            [&info](const Candidates& one) { return Admits(one, info); }),
                "a search by candidates finds what matches");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const SnapshotInfo info = {
      .name = "top",
      .parent = "base",
      .kind = slacker::Kind::kActive,
      .created_nanos = 0,
      .updated_nanos = 0,
      .labels = {
          {"plain", "value"}, {"a.b.c", "dots"}, {std::string(slacker::kRefLabel), "sha256:12"}}};
  const std::string input(reinterpret_cast<const char*>(data), size);
  Filter({input}, info);
  std::vector<std::string> lines(1);
  for (const char c : input) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += c;
    }
  }
  Filter(lines, info);
  return 0;
}
