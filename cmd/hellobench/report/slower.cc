// What a snapshotter is slower in than another one.
#include <algorithm>
#include <set>
#include <tuple>

#include "cmd/hellobench/report/model.h"
#include "cmd/hellobench/report/units.h"

namespace slacker::hellobench {
namespace {

using Cases = std::map<std::tuple<std::string, std::string, std::string>, Slower>;

// How long it took, least to greatest; more is worse.
using Times = std::map<std::string, Spread>;

// Containers that start at once are one run: what they wait for, all of them wait for.
int64_t StartsOf(const Runs& runs, const Spread& spread) {
  const Setup& setup = runs.results.front().setup;
  if (setup.nodes * setup.at_once == 1) return spread.count;
  std::set<std::pair<std::string, int64_t>> starts;
  for (const Result& result : runs.results) {
    if (result.error.empty()) starts.emplace(result.session.id, result.repetition);
  }
  return static_cast<int64_t>(starts.size());
}

Times TimesOf(const Group& group, const std::string& system, Measure measure) {
  Times times;
  for (const std::string& image : group.images) {
    const Runs* runs = group.Find(system, image);
    std::optional<Spread> spread = runs ? runs->Of(measure) : std::nullopt;
    if (!spread.has_value()) continue;
    spread->count = StartsOf(*runs, *spread);
    times[image] = *spread;
  }
  return times;
}

Times WithPreparation(const Model& model, const Group& group, const std::string& system) {
  Times times = TimesOf(group, system, TotalMs);
  for (auto entry = times.begin(); entry != times.end();) {
    const std::optional<Spread> prepare =
        model.PrepareSpread(system, entry->first, group.conditions.link);
    if (!prepare.has_value()) {
      entry = times.erase(entry);
      continue;
    }
    entry->second.least += prepare->least;
    entry->second.median += prepare->median;
    entry->second.greatest += prepare->greatest;
    entry->second.count = std::min(entry->second.count, prepare->count);
    ++entry;
  }
  return times;
}

// Of what is counted for a second: the time for one. Of a time: the time. Nothing for anything else.
std::map<std::string, Times> FigureTimes(const Group& group, const std::string& system) {
  std::map<std::string, Times> times;
  for (const std::string& image : group.images) {
    const Runs* runs = group.Find(system, image);
    if (runs == nullptr) continue;
    for (const auto& [name, figure] : FiguresOf(*runs)) {
      Spread spread = figure.spread;
      spread.count = StartsOf(*runs, spread);
      if (IsTime(figure.unit)) times[name][image] = spread;
      if (IsRate(figure.unit) && spread.least > 0) {
        times[name][image] = {1 / spread.greatest, 1 / spread.median, 1 / spread.least,
                              spread.count};
      }
    }
  }
  return times;
}

std::map<std::string, Times> AllTimes(const Model& model, const Group& group,
                                      const std::string& system) {
  std::map<std::string, Times> times = FigureTimes(group, system);
  times["start"] = TimesOf(group, system, TotalMs);
  times["second run"] = TimesOf(group, system, SecondMs);
  times["publication and start"] = WithPreparation(model, group, system);
  return times;
}

// Adds what `slower`, which says of whom and in what, is slower in by these times.
void Compare(const Group& group, const Times& times, const Times& others, Slower slower,
             Cases* cases) {
  for (const auto& [image, spread] : times) {
    const auto found = others.find(image);
    if (found == others.end() || found->second.median <= 0) continue;
    ++slower.compared;
    const double ratio = spread.median / found->second.median;
    if (ratio <= 1) continue;
    const bool single = std::min(spread.count, found->second.count) < 2;
    slower.cases.push_back(
        {image, group.conditions, ratio, single, !single && spread.least > found->second.greatest});
  }
  if (slower.compared == 0) return;
  Slower& all = (*cases)[{slower.system, slower.measure, slower.than}];
  slower.compared += all.compared;
  slower.cases.insert(slower.cases.begin(), all.cases.begin(), all.cases.end());
  all = std::move(slower);
}

void CompareAll(const Model& model, const Group& group, Cases* cases) {
  std::map<std::string, std::map<std::string, Times>> times;
  for (const std::string& system : group.systems) times[system] = AllTimes(model, group, system);
  for (const std::string& system : group.systems) {
    if (system == kBaseline) continue;
    for (const std::string& other : group.systems) {
      if (SnapshotterOf(other) == SnapshotterOf(system)) continue;
      for (const auto& [measure, values] : times[system]) {
        Compare(group, values, times[other][measure], {system, measure, other, 0, {}}, cases);
      }
    }
  }
}

auto OrderOf(const Slower& slower) {
  static constexpr std::string_view kFirst[] = {"start", "publication and start", "second run"};
  const auto* rank = std::find(std::begin(kFirst), std::end(kFirst), slower.measure);
  return std::tuple(SnapshotterOf(slower.system) != "slacker", slower.system,
                    rank - std::begin(kFirst), slower.measure, slower.than != kBaseline,
                    slower.than);
}

}  // namespace

std::vector<Slower> FindSlower(const Model& model) {
  Cases cases;
  for (const Group& group : model.groups()) CompareAll(model, group, &cases);
  std::vector<Slower> all;
  for (auto& [key, slower] : cases) {
    std::stable_sort(
        slower.cases.begin(), slower.cases.end(),
        [](const Slower::Case& one, const Slower::Case& two) { return one.ratio > two.ratio; });
    all.push_back(std::move(slower));
  }
  std::stable_sort(all.begin(), all.end(), [](const Slower& one, const Slower& other) {
    return OrderOf(one) < OrderOf(other);
  });
  return all;
}

}  // namespace slacker::hellobench
