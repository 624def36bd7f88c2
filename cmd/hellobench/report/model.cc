#include "cmd/hellobench/report/model.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace slacker::hellobench {
namespace {

// The paper's order; what users add comes after that.
int RankOf(const std::string& category) {
  static constexpr std::string_view kOrder[] = {"distro",     "database",      "language",
                                                "web-server", "web-framework", "other"};
  const auto* found = std::find(std::begin(kOrder), std::end(kOrder), category);
  return static_cast<int>(found - std::begin(kOrder));
}

auto OrderOf(const Group& group) {
  const Conditions& conditions = group.conditions;
  return std::tuple(conditions.scenario != "start", conditions.scenario, conditions.nodes,
                    conditions.at_once, conditions.link != "loopback", conditions.link,
                    conditions.server_cache);
}

void SetOrders(Group* group) {
  std::set<std::string> systems, images;
  for (const auto& [key, runs] : group->runs) {
    systems.insert(key.first);
    images.insert(key.second);
  }
  group->systems.assign(systems.begin(), systems.end());
  std::stable_partition(group->systems.begin(), group->systems.end(),
                        [](const std::string& system) { return system == kBaseline; });
  group->images.assign(images.begin(), images.end());
  std::stable_sort(group->images.begin(), group->images.end(),
                   [group](const std::string& one, const std::string& other) {
                     const std::string a = group->CategoryOf(one), b = group->CategoryOf(other);
                     return std::tuple(RankOf(a), a) < std::tuple(RankOf(b), b);
                   });
}

std::vector<SessionSpan> SessionsOf(const std::vector<Result>& results) {
  std::vector<SessionSpan> sessions;
  std::map<std::string, size_t> places;
  for (const Result& result : results) {
    const auto [place, is_new] = places.try_emplace(result.session.id, sessions.size());
    if (is_new) sessions.push_back({result.session, result.time, result.time, {}});
    SessionSpan& session = sessions[place->second];
    session.first = std::min(session.first, result.time);  // RFC 3339 in UTC sorts as text does
    session.last = std::max(session.last, result.time);
    session.results.push_back(result);
  }
  for (SessionSpan& session : sessions) {
    std::stable_sort(
        session.results.begin(), session.results.end(),
        [](const Result& one, const Result& other) { return one.position < other.position; });
  }
  return sessions;
}

std::string CountOf(int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what;
}

}  // namespace

Conditions ConditionsOf(const Setup& setup) {
  return {setup.scenario, setup.nodes, setup.at_once, setup.link, setup.server_cache};
}

std::string NameOf(const Conditions& conditions) {
  std::string name = conditions.scenario == "start" ? "" : conditions.scenario + ", ";
  name += conditions.link;
  if (conditions.nodes != 1) name += ", " + CountOf(conditions.nodes, "nodes");
  if (conditions.at_once != 1) name += ", " + CountOf(conditions.at_once, "at once on each");
  if (conditions.server_cache == "dropped") return name + ", cold servers";
  return name + ", " + conditions.server_cache + " servers";
}

std::string SystemOf(const Setup& setup) {
  return setup.store.empty() ? setup.snapshotter : setup.snapshotter + "/" + setup.store;
}

std::string SnapshotterOf(const std::string& system) { return system.substr(0, system.find('/')); }

const Runs* Group::Find(const std::string& system, const std::string& image) const {
  const auto found = runs.find({system, image});
  return found == runs.end() ? nullptr : &found->second;
}

std::map<std::string, double> Group::Medians(const std::string& system, Measure measure) const {
  std::map<std::string, double> medians;
  for (const std::string& image : images) {
    const Runs* found = Find(system, image);
    const std::optional<double> median = found ? found->MedianOf(measure) : std::nullopt;
    if (median.has_value()) medians[image] = *median;
  }
  return medians;
}

std::string Group::CategoryOf(const std::string& image) const {
  for (const auto& [key, found] : runs) {
    if (key.second == image) return found.category;
  }
  return "";
}

std::vector<std::string> Group::CommonImages() const {
  std::vector<std::string> common;
  for (const std::string& image : images) {
    const bool everywhere =
        std::all_of(systems.begin(), systems.end(), [&](const std::string& system) {
          const Runs* found = Find(system, image);
          return found != nullptr && found->MedianOf(TotalMs).has_value();
        });
    if (everywhere) common.push_back(image);
  }
  return common;
}

Model::Model(const std::vector<Result>& results) : sessions_(SessionsOf(results)) {
  std::map<Conditions, Group> groups;
  std::set<std::string> categories;
  for (const Result& result : results) {
    const bool is_preparation = result.setup.scenario == kPreparation;
    ++(is_preparation ? preparations_count_ : runs_);
    if (!result.error.empty()) ++(is_preparation ? failed_preparations_ : failed_);
    categories.insert(result.setup.category);
    AddPreparation(result);
    Group& group = groups[ConditionsOf(result.setup)];
    Runs& runs = group.runs[{SystemOf(result.setup), result.setup.image}];
    runs.category = result.setup.category;
    runs.results.push_back(result);
  }
  for (auto& [conditions, group] : groups) {
    group.conditions = conditions;
    SetOrders(&group);
    groups_.push_back(std::move(group));
  }
  std::stable_sort(groups_.begin(), groups_.end(), [](const Group& one, const Group& other) {
    return OrderOf(one) < OrderOf(other);
  });
  categories_.assign(categories.begin(), categories.end());
  std::stable_sort(
      categories_.begin(), categories_.end(),
      [](const std::string& one, const std::string& other) { return RankOf(one) < RankOf(other); });
}

void Model::AddPreparation(const Result& result) {
  if (!result.error.empty() || !result.phases.prepare_ms.has_value()) return;
  preparations_[{SystemOf(result.setup), result.setup.image}][result.setup.link].push_back(
      *result.phases.prepare_ms);
}

std::optional<double> Model::PrepareMedian(const std::string& system, const std::string& image,
                                           const std::string& link) const {
  const std::optional<Spread> spread = PrepareSpread(system, image, link);
  if (!spread.has_value()) return std::nullopt;
  return spread->median;
}

std::optional<Spread> Model::PrepareSpread(const std::string& system, const std::string& image,
                                           const std::string& link) const {
  const auto found = preparations_.find({system, image});
  if (found == preparations_.end()) return std::nullopt;
  if (const auto same = found->second.find(link); same != found->second.end()) {
    return SpreadOf(same->second);
  }
  std::vector<double> all;
  for (const auto& [other, values] : found->second) {
    all.insert(all.end(), values.begin(), values.end());
  }
  return SpreadOf(all);
}

std::optional<double> Model::PrepareFigure(const std::string& system, const std::string& image,
                                           const std::string& name) const {
  for (const Group& group : groups_) {
    if (group.conditions.scenario != kPreparation) continue;
    const Runs* runs = group.Find(system, image);
    if (runs == nullptr) continue;
    const std::map<std::string, FigureSpread> figures = FiguresOf(*runs);
    if (const auto found = figures.find(name); found != figures.end()) {
      return found->second.spread.median;
    }
  }
  return std::nullopt;
}

std::map<std::string, double> Model::Deployment(const Group& group,
                                                const std::string& system) const {
  return group.Medians(system, TotalMs);
}

std::map<std::string, double> Model::Development(const Group& group,
                                                 const std::string& system) const {
  std::map<std::string, double> cycles;
  for (const auto& [image, total] : Deployment(group, system)) {
    const std::optional<double> prepare = PrepareMedian(system, image, group.conditions.link);
    if (prepare.has_value()) cycles[image] = *prepare + total;
  }
  return cycles;
}

std::map<std::string, double> SpeedUps(const std::map<std::string, double>& baseline,
                                       const std::map<std::string, double>& values) {
  std::map<std::string, double> speed_ups;
  for (const auto& [image, value] : values) {
    const auto found = baseline.find(image);
    if (found != baseline.end() && value > 0) speed_ups[image] = found->second / value;
  }
  return speed_ups;
}

std::vector<double> ValuesOf(const std::map<std::string, double>& by_name) {
  std::vector<double> values;
  values.reserve(by_name.size());
  for (const auto& [name, value] : by_name) values.push_back(value);
  return values;
}

}  // namespace slacker::hellobench
