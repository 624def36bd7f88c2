// Several starts at once, and the figures that scenarios measure beside times.
#include <algorithm>
#include <set>

#include "cmd/hellobench/report/paper.h"
#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

// Groups that differ in how many start at once and in nothing else, by how many containers those are.
using Crowd = std::map<int64_t, const Group*>;

std::vector<std::pair<std::string, Crowd>> CrowdsOf(const Model& model) {
  std::vector<std::pair<std::string, Crowd>> crowds;
  std::map<std::string, size_t> places;
  for (const Group& group : model.groups()) {
    Conditions same = group.conditions;
    const int64_t containers = same.nodes * same.at_once;
    same.nodes = 1;
    // One on each of many nodes and many on one node are different things.
    const std::string at_once =
        same.at_once == 1 ? "" : std::to_string(same.at_once) + " on each node, ";
    same.at_once = 1;
    const std::string name = at_once + NameOf(same);
    const auto [place, is_new] = places.try_emplace(name, crowds.size());
    if (is_new) crowds.push_back({name, {}});
    crowds[place->second].second[containers] = &group;
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

Chart CrowdChart(const std::string& name, const Crowd& crowd, const std::string& id) {
  const std::vector<std::string> images = CommonImages(crowd);
  Chart chart;
  chart.kind = ChartKind::kLines;
  chart.title = "Started at once: " + name;
  chart.text = "Until the last of all containers was ready: medians over " +
               Count(static_cast<int64_t>(images.size()), "image") +
               ". The paper's 32 pulls at once took about 2 s.";
  chart.x = {"Containers started at once", Unit::kCount, true};
  chart.y = {"Last one ready", Unit::kMilliseconds, true};
  chart.table = {id, chart.title, {{"Snapshotter", false}}, {}};
  std::set<std::string> systems;
  for (const auto& [containers, group] : crowd) {
    chart.table.columns.push_back({std::to_string(containers)});
    systems.insert(group->systems.begin(), group->systems.end());
  }
  for (const std::string& system : systems) {
    Series series{system, {}, {}};
    std::vector<TableCell> row = {Text(system)};
    for (const auto& [containers, group] : crowd) {
      const std::optional<double> median = MedianOfLast(*group, system, images);
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
    if (CommonImages(crowd).empty()) continue;
    section.blocks.emplace_back(CrowdChart(name, crowd, "at-once-" + std::to_string(++number)));
  }
  if (section.blocks.empty()) return {};
  return {std::move(section)};
}

std::vector<Section> FigureSections(const Model& model) {
  Section section{"figures", "Figures of scenarios", {}};
  std::set<std::string_view> papers;
  int number = 0;
  for (const Group& group : model.groups()) {
    std::optional<Table> table = FigureTable(group, "figures-" + std::to_string(++number));
    if (!table.has_value()) continue;
    section.blocks.emplace_back(*std::move(table));
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
