// Where and how it was measured, and how figures were computed.
#include <algorithm>
#include <array>
#include <set>

#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

// As a shell takes it.
std::string Quoted(const std::string& word) {
  static constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char letter : word)
    quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return quoted + "'";
}

std::string CommandOf(const Session& session) {
  std::string command;
  for (const std::string& word : session.command) {
    command += (command.empty() ? "" : " ") + Quoted(word);
  }
  return command;
}

std::string ServerCaches(const SessionSpan& session) {
  std::set<std::string> caches;
  for (const Result& result : session.results) caches.insert(result.setup.server_cache);
  return Join({caches.begin(), caches.end()});
}

Table SessionTable(const SessionSpan& span, const std::string& id) {
  const Machine& machine = span.session.machine;
  Table table{id, "Session " + span.session.id, {{"What", false}, {"Value", false}}, {}};
  const auto add = [&table](const std::string& name, const std::string& value) {
    table.rows.push_back({Text(name), Text(value)});
  };
  add("First run", span.first);
  add("Last run", span.last);
  const auto runs =
      std::count_if(span.results.begin(), span.results.end(),
                    [](const Result& result) { return result.setup.scenario != kPreparation; });
  add("Runs", Format(static_cast<double>(runs), Unit::kCount));
  add("Seed of the order", std::to_string(span.session.seed));
  add("Servers' page cache", ServerCaches(span));
  add("Processor", machine.cpu + ", " + Count(machine.cpus, "core"));
  add("Memory", Format(static_cast<double>(machine.memory_bytes), Unit::kBytes));
  add("Kernel", machine.kernel);
  add("System", machine.os);
  for (const auto& [program, version] : span.session.versions) add(program, version);
  return table;
}

struct Place {
  std::string system;
  double position = 0;
  double relative = 1;  // to the median of its setup
};

std::vector<Place> PlacesOf(const Model& model, const SessionSpan& span) {
  std::map<Conditions, const Group*> groups;
  for (const Group& group : model.groups()) groups[group.conditions] = &group;
  std::map<Setup, std::optional<double>> medians;
  std::vector<Place> places;
  for (const Result& result : span.results) {
    const std::optional<double> total = TotalMs(result);
    if (!result.error.empty() || !total.has_value()) continue;
    const auto [median, is_new] = medians.try_emplace(result.setup);
    if (is_new) {
      const Group* group = groups[ConditionsOf(result.setup)];
      median->second = group->Find(SystemOf(result.setup), result.setup.image)->MedianOf(TotalMs);
    }
    if (!median->second.has_value() || *median->second <= 0) continue;
    places.push_back(
        {SystemOf(result.setup), static_cast<double>(result.position), *total / *median->second});
  }
  return places;
}

// Whether a session's beginning was like its end.
std::optional<Chart> TimeLine(const Model& model, const SessionSpan& span, const std::string& id) {
  const std::vector<Place> places = PlacesOf(model, span);
  if (places.empty()) return std::nullopt;
  Chart chart;
  chart.kind = ChartKind::kPoints;
  chart.title = "Time line of session " + span.session.id;
  chart.text =
      "Each start by its place in the order, beside the median of its repetitions (1×). A trend "
      "would mean that "
      "the machine changed while it measured.";
  chart.x = {"Place in the order", Unit::kCount, false};
  chart.y = {"Start, of its median", Unit::kTimes, true};
  chart.table = {id,
                 chart.title,
                 {{"Snapshotter", false}, {"First third"}, {"Second third"}, {"Last third"}},
                 {}};
  const double last = places.back().position + 1;
  std::map<std::string, std::array<std::vector<double>, 3>> thirds;
  std::map<std::string, Series> series;
  for (const Place& place : places) {
    const auto third = static_cast<size_t>(3 * place.position / last);
    thirds[place.system][std::min<size_t>(third, 2)].push_back(place.relative);
    Series& mine = series[place.system];
    mine.name = place.system;
    mine.points.emplace_back(place.position, place.relative);
  }
  for (auto& [system, of_thirds] : thirds) {
    std::vector<TableCell> row = {Text(system)};
    for (const std::vector<double>& values : of_thirds) {
      row.push_back(values.empty() ? Nothing()
                                   : Number(Median(values), Unit::kTimes,
                                            Count(static_cast<int64_t>(values.size()), "run")));
    }
    chart.table.rows.push_back(std::move(row));
    chart.series.push_back(std::move(series[system]));
  }
  return chart;
}

}  // namespace

std::vector<Section> SessionSections(const Model& model) {
  Section section{"sessions", "Machine, versions and commands", {}};
  int number = 0;
  for (const SessionSpan& span : model.sessions()) {
    const std::string id = "session-" + std::to_string(++number);
    section.blocks.emplace_back(SessionTable(span, id));
    section.blocks.emplace_back(Verbatim{CommandOf(span.session)});
    if (std::optional<Chart> line = TimeLine(model, span, id + "-line")) {
      section.blocks.emplace_back(*std::move(line));
    }
  }
  return {std::move(section)};
}

Section MethodSection() {
  return {"method",
          "How to read this",
          {List{{
              {"",
               "A start is cold: the node has neither the image nor a cache of it. It takes from "
               "the beginning of the pull until the container does useful work, which the "
               "catalogue says for each image."},
              {"",
               "Runs of the same image, snapshotter and conditions are repetitions, also of "
               "several sessions. What stands for them is their median; beside it the least, the "
               "greatest and how many there were."},
              {"",
               "A speed-up is the median with overlayfs divided by the snapshotter's, under the "
               "same conditions: more than 1× is faster."},
              {"",
               "The deployment cycle is pull, create and ready; the development cycle has the push "
               "or the publication before them too."},
              {"", "Quantiles are interpolated between the two next values (type 7)."},
              {"",
               "The paper is T. Harter et al., Slacker: Fast Distribution with Lazy Docker "
               "Containers, FAST'16; its AUFS is what overlayfs is here, and other machines, "
               "images and servers were measured."},
          }}}};
}

}  // namespace slacker::hellobench
