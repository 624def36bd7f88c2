// Several starts at once, and the figures that scenarios measure beside times.
#include <algorithm>
#include <set>

#include "cmd/hellobench/report/group_figures.h"
#include "cmd/hellobench/report/paper.h"
#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

// Groups that differ in how many start at once and in nothing else, by how many containers those are.
using Crowd = std::map<int64_t, const Group*>;

// One on each of many nodes and many on one node are different things: in a crowd either the nodes differ, or
// how many start on each. A group may be in one of both.
std::vector<std::pair<std::string, Crowd>> CrowdsOf(const Model& model) {
  std::vector<std::pair<std::string, Crowd>> crowds;
  std::map<std::string, size_t> places;
  const auto add = [&](const std::string& name, const Group& group) {
    const auto [place, is_new] = places.try_emplace(name, crowds.size());
    if (is_new) crowds.push_back({name, {}});
    const int64_t containers = group.conditions.nodes * group.conditions.at_once;
    crowds[place->second].second[containers] = &group;
  };
  for (const Group& group : model.groups()) {
    const int64_t nodes = group.conditions.nodes, at_once = group.conditions.at_once;
    Conditions same = group.conditions;
    same.nodes = same.at_once = 1;
    const std::string name = NameOf(same);
    add((at_once == 1 ? "" : std::to_string(at_once) + " on each node, ") + name, group);
    add((nodes == 1 ? "on one node, " : "on each of " + std::to_string(nodes) + " nodes, ") + name,
        group);
  }
  std::erase_if(crowds, [](const auto& crowd) { return crowd.second.size() < 2; });
  return crowds;
}

// Over the images that all systems got ready, however many started.
std::vector<std::string> CommonImages(const Crowd& crowd) {
  std::vector<std::string> common = crowd.begin()->second->CommonImages();
  for (const auto& [containers, group] : crowd) {
    std::erase_if(common, [group = group](const std::string& image) {
      return std::any_of(group->systems.begin(), group->systems.end(),
                         [&](const std::string& system) {
                           const Runs* runs = group->Find(system, image);
                           return runs == nullptr || runs->Last(TotalMs).empty();
                         });
    });
  }
  return common;
}

std::optional<double> MedianOfLast(const Group& group, const std::string& system,
                                   const std::vector<std::string>& images) {
  std::vector<double> medians;
  for (const std::string& image : images) {
    const Runs* runs = group.Find(system, image);
    const std::vector<double> last = runs ? runs->Last(TotalMs) : std::vector<double>();
    if (!last.empty()) medians.push_back(Median(last));
  }
  if (medians.empty()) return std::nullopt;
  return Median(medians);
}

// What a chart of a crowd has a series and a row of.
struct Line {
  std::string name, system;
  std::vector<std::string> images;
};

// How many at once and how large are one question in the paper (Figure 23): each image is a line of its own.
bool IsOfSizes(const Crowd& crowd) {
  return crowd.begin()->second->conditions.scenario == "scalability";
}

std::vector<Line> LinesOf(const Crowd& crowd) {
  std::set<std::string> systems, images;
  for (const auto& [containers, group] : crowd) {
    systems.insert(group->systems.begin(), group->systems.end());
    images.insert(group->images.begin(), group->images.end());
  }
  std::vector<Line> lines;
  for (const std::string& system : systems) {
    if (IsOfSizes(crowd)) {
      for (const std::string& image : images) {
        lines.push_back({system + ", " + image, system, {image}});
      }
    } else {
      lines.push_back({system, system, CommonImages(crowd)});
    }
  }
  std::erase_if(lines, [&crowd](const Line& line) {
    return std::none_of(crowd.begin(), crowd.end(), [&line](const auto& entry) {
      return MedianOfLast(*entry.second, line.system, line.images).has_value();
    });
  });
  return lines;
}

Chart CrowdChart(const std::string& name, const Crowd& crowd, const std::vector<Line>& lines,
                 const std::string& id) {
  const bool is_of_sizes = IsOfSizes(crowd);
  const auto images = static_cast<int64_t>(lines.front().images.size());
  Chart chart;
  chart.kind = ChartKind::kLines;
  chart.title = "Started at once: " + name;
  chart.text = "Until the last of all containers was ready: medians" +
               (is_of_sizes ? ", each image by itself" : " over " + Count(images, "image")) +
               ". The paper's 32 pulls at once took about 2 s.";
  chart.x = {"Containers started at once", Unit::kCount, true};
  chart.y = {"Last one ready", Unit::kMilliseconds, true};
  chart.series_are_systems = !is_of_sizes;
  chart.table = {
      id, chart.title, {{is_of_sizes ? "Snapshotter, image" : "Snapshotter", false}}, {}};
  for (const auto& [containers, group] : crowd) {
    chart.table.columns.push_back({std::to_string(containers)});
  }
  for (const Line& line : lines) {
    Series series{line.name, {}, {}};
    std::vector<TableCell> row = {Text(line.name)};
    for (const auto& [containers, group] : crowd) {
      const std::optional<double> median = MedianOfLast(*group, line.system, line.images);
      row.push_back(Number(median, Unit::kMilliseconds));
      if (median.has_value()) {
        series.points.emplace_back(static_cast<double>(containers), *median);
      }
    }
    chart.series.push_back(std::move(series));
    chart.table.rows.push_back(std::move(row));
  }
  return chart;
}

// Rows are images and figures, columns systems.
std::optional<Table> FigureTable(const Group& group, const std::string& id) {
  Table table{id, NameOf(group.conditions), {{"Image", false}, {"Figure", false}}, {}};
  for (const std::string& system : group.systems) table.columns.push_back({system});
  for (const std::string& image : group.images) {
    std::map<std::string, std::vector<TableCell>> rows;
    for (size_t i = 0; i < group.systems.size(); ++i) {
      const Runs* runs = group.Find(group.systems[i], image);
      if (runs == nullptr) continue;
      for (const auto& [name, figure] : FiguresOf(*runs)) {
        auto& row = rows[name];
        const Unit unit = UnitOf(figure.unit);
        const std::string label =
            unit == Unit::kPlain && !figure.unit.empty() ? name + ", " + figure.unit : name;
        if (row.empty()) {
          row = {Text(image), Text(label)};
          row.resize(2 + group.systems.size(), Nothing());
        }
        row[2 + i] = Number(figure.spread.median, unit, NoteOf(figure.spread, unit));
      }
    }
    for (auto& [name, row] : rows) table.rows.push_back(std::move(row));
  }
  if (table.rows.empty()) return std::nullopt;
  return table;
}

constexpr char kReply[] = "first_reply";

// How much sooner servers reply than with the baseline, beside the paper's.
std::optional<Table> ReplyTable(const Group& group, const std::string& id) {
  const std::string paper = PaperNumber(paper::kReplyLeast, Unit::kTimes).text + " to " +
                            PaperNumber(paper::kReplyMost, Unit::kTimes).text;
  Table table{id,
              "First reply, how many times sooner than with " + std::string(kBaseline) + ": " +
                  NameOf(group.conditions),
              {{"Image", false}, {"Paper, Slacker"}},
              {}};
  const auto reply = [&group](std::string_view system,
                              const std::string& image) -> std::optional<double> {
    const Runs* runs = group.Find(std::string(system), image);
    if (runs == nullptr) return std::nullopt;
    const std::map<std::string, FigureSpread> figures = FiguresOf(*runs);
    const auto found = figures.find(kReply);
    if (found == figures.end() || found->second.spread.median <= 0) return std::nullopt;
    return found->second.spread.median;
  };
  for (const std::string& system : group.systems) {
    if (system != kBaseline) table.columns.push_back({system});
  }
  for (const std::string& image : group.images) {
    const std::optional<double> baseline = reply(kBaseline, image);
    if (!baseline.has_value()) continue;
    std::vector<TableCell> row = {Text(image), Text(paper)};
    bool any = false;
    for (const std::string& system : group.systems) {
      if (system == kBaseline) continue;
      const std::optional<double> ours = reply(system, image);
      any |= ours.has_value();
      row.push_back(ours.has_value() ? Number(*baseline / *ours, Unit::kTimes) : Nothing());
    }
    if (any) table.rows.push_back(std::move(row));
  }
  if (table.rows.empty()) return std::nullopt;
  return table;
}

// What the paper says of such figures.
std::string_view PapersOf(const Group& group) {
  if (group.conditions.scenario == "depth") return paper::kDepth;
  if (group.conditions.scenario == "copy-up") return paper::kCopyUp;
  return group.conditions.scenario == "start" ? paper::kLoad : std::string_view();
}

}  // namespace

std::vector<Section> CrowdSections(const Model& model) {
  Section section{"at-once", "Several at once", {}};
  int number = 0;
  for (const auto& [name, crowd] : CrowdsOf(model)) {
    const std::vector<Line> lines = LinesOf(crowd);
    if (lines.empty()) continue;
    section.blocks.emplace_back(
        CrowdChart(name, crowd, lines, "at-once-" + std::to_string(++number)));
  }
  if (section.blocks.empty()) return {};
  return {std::move(section)};
}

std::vector<Section> FigureSections(const Model& model) {
  Section section{"figures", "Figures of scenarios", {}};
  std::set<std::string_view> papers;
  int number = 0;
  for (const Group& group : model.groups()) {
    const std::string id = "figures-" + std::to_string(++number);
    std::optional<Table> table = FigureTable(group, id);
    if (!table.has_value()) continue;
    section.blocks.emplace_back(*std::move(table));
    if (auto replies = ReplyTable(group, id + "-replies"); replies.has_value()) {
      section.blocks.emplace_back(*std::move(replies));
    }
    papers.insert(PapersOf(group));
  }
  if (section.blocks.empty()) return {};
  std::string text = "Medians of the runs, with the least and the greatest.";
  for (const std::string_view paper : papers) {
    if (!paper.empty()) text.append(" ").append(paper);
  }
  section.blocks.insert(section.blocks.begin(), Paragraph{text});
  return {std::move(section)};
}

}  // namespace slacker::hellobench
