#include "cmd/hellobench/report/compare.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "backend/base/status.h"
#include "cmd/hellobench/report/model.h"

namespace slacker::hellobench {
namespace {

// A setup without its image, and the same image's runs in both files.
using Key = std::tuple<Conditions, std::string>;
struct Both {
  const Runs* before = nullptr;
  const Runs* after = nullptr;
};
using Setups = std::map<Key, std::map<std::string, Both>>;

void Add(const Model& model, const Runs* Both::*side, Setups* setups) {
  for (const Group& group : model.groups()) {
    for (const auto& [key, runs] : group.runs) {
      ((*setups)[{group.conditions, key.first}][key.second]).*side = &runs;
    }
  }
}

std::string FirstError(const Runs& runs) {
  for (const Result& result : runs.results) {
    if (!result.error.empty()) return result.error;
  }
  return "";
}

// "" if there is something to compare.
std::string WhyNot(const Both& both) {
  if (both.after == nullptr) return "only in A";
  if (both.before == nullptr) return "only in B";
  std::string why;
  const std::pair<const char*, const Runs*> sides[] = {{"A", both.before}, {"B", both.after}};
  for (const auto& [name, runs] : sides) {
    if (runs->Failed() < runs->count()) continue;
    why += (why.empty() ? "" : "; ") + std::string("all runs failed in ") + name + " (" +
           FirstError(*runs) + ")";
  }
  return why;
}

// Containers that start at once are one start, which takes as long as the last of them: they are not
// independent of each other, as a resampling takes its values to be.
std::vector<double> Positive(const Runs& runs, Measure measure) {
  const Setup& setup = runs.results.front().setup;
  std::vector<double> values =
      setup.nodes * setup.at_once == 1 ? runs.Values(measure) : runs.Last(measure);
  std::erase_if(values, [](double value) { return !(value > 0); });
  return values;
}

ComparedSystem CompareSystem(const Key& key, const std::map<std::string, Both>& images,
                             const std::string& time, Measure measure) {
  ComparedSystem system{std::get<1>(key), NameOf(std::get<0>(key)), time, {}, {}};
  std::vector<BeforeAndAfter> pairs;
  for (const auto& [image, both] : images) {
    if (both.before == nullptr || both.after == nullptr) continue;
    BeforeAndAfter pair{Positive(*both.before, measure), Positive(*both.after, measure)};
    if (pair.before.empty() || pair.after.empty()) continue;
    system.images.push_back(
        {image, SpreadOf(pair.before), SpreadOf(pair.after), RatioOfMedians({pair})});
    pairs.push_back(std::move(pair));
  }
  if (!pairs.empty()) system.all = RatioOfMedians(pairs);
  return system;
}

std::string Failures(const Model& before, const Model& after) {
  const auto one = [](const char* name, const Model& model) {
    return std::string(name) + ": " + std::to_string(model.failed()) + " of " +
           std::to_string(model.runs());
  };
  return one("A", before) + ", " + one("B", after) + " runs failed";
}

bool SameMachine(const std::vector<Result>& before, const std::vector<Result>& after) {
  const Machine& first = before.front().session.machine;
  const auto is_first = [&first](const Result& result) { return result.session.machine == first; };
  return std::all_of(before.begin(), before.end(), is_first) &&
         std::all_of(after.begin(), after.end(), is_first);
}

}  // namespace

std::string Verdict(const Ratio& ratio) {
  if (!ratio.shown) return "no difference shown";
  return ratio.value < 1 ? "faster" : "slower";
}

absl::StatusOr<Comparison> Compare(const std::vector<Result>& before,
                                   const std::vector<Result>& after) {
  if (before.empty() || after.empty()) return FailedPrecondition("there are no results to compare");
  RETURN_IF_ERROR(CheckOneSchema(before));
  RETURN_IF_ERROR(CheckOneSchema(after));
  RETURN_IF_ERROR(CheckOneSchema({before.front(), after.front()}));
  const Model first(before), second(after);
  Setups setups;
  Add(first, &Both::before, &setups);
  Add(second, &Both::after, &setups);
  Comparison comparison;
  comparison.same_machine = SameMachine(before, after);
  comparison.failures = Failures(first, second);
  for (const auto& [key, images] : setups) {
    for (const auto& [image, both] : images) {
      const std::string why = WhyNot(both);
      if (why.empty()) continue;
      comparison.not_compared.push_back({std::get<1>(key), NameOf(std::get<0>(key)), image, why});
    }
    const std::pair<const char*, Measure> times[] = {
        {"start", TotalMs}, {"second run", SecondMs}, {"publication", PrepareMs}};
    for (const auto& [time, measure] : times) {
      ComparedSystem system = CompareSystem(key, images, time, measure);
      if (!system.images.empty()) comparison.systems.push_back(std::move(system));
    }
  }
  if (comparison.systems.empty()) {
    return FailedPrecondition("no setup has runs that got there in both files");
  }
  return comparison;
}

absl::StatusOr<std::string> CompareFiles(const std::string& before, const std::string& after,
                                         bool json) {
  ASSIGN_OR_RETURN(const std::vector<Result> first, ReadResults(before));
  ASSIGN_OR_RETURN(const std::vector<Result> second, ReadResults(after));
  ASSIGN_OR_RETURN(const Comparison comparison, Compare(first, second));
  return json ? ToJson(comparison) + "\n" : ToText(comparison);
}

}  // namespace slacker::hellobench
