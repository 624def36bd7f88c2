#include <algorithm>

#include "cmd/hellobench/report/group_figures.h"
#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

// A time with what it spread over, and how many runs failed.
TableCell TimeCell(const Runs* runs, Measure measure, Unit unit) {
  if (runs == nullptr) return Nothing("not run");
  const std::optional<Spread> spread = runs->Of(measure);
  std::string note = spread.has_value() ? NoteOf(*spread, unit) : "";
  if (const int64_t failed = runs->Failed(); failed > 0) {
    note += (note.empty() ? "" : "; ") + Of(failed, runs->count()) + " failed";
  }
  if (!spread.has_value()) return Nothing(note.empty() ? "not measured" : note);
  return Number(spread->median, unit, note);
}

// An image a row, a time and its speed-up for each system.
Table TableOfTimes(const Group& group, Measure measure, const std::string& id,
                   const std::string& caption) {
  Table table{id, caption, {{"Image", false}, {"Category", false}}, {}};
  const bool has_baseline = group.systems.front() == kBaseline;
  const auto baseline = group.Medians(std::string(kBaseline), measure);
  for (const std::string& system : group.systems) {
    table.columns.push_back({system});
    if (has_baseline && system != kBaseline) table.columns.push_back({"Speed-up"});
  }
  for (const std::string& image : group.images) {
    std::vector<TableCell> row = {Text(image), Text(group.CategoryOf(image))};
    for (const std::string& system : group.systems) {
      row.push_back(TimeCell(group.Find(system, image), measure, Unit::kMilliseconds));
      if (!has_baseline || system == kBaseline) continue;
      const auto ups = SpeedUps(baseline, group.Medians(system, measure));
      const auto up = ups.find(image);
      row.push_back(up == ups.end() ? Nothing() : Number(up->second, Unit::kTimes));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

bool HasAny(const Group& group, Measure measure) {
  return std::any_of(group.runs.begin(), group.runs.end(), [measure](const auto& entry) {
    return entry.second.MedianOf(measure).has_value();
  });
}

}  // namespace

Table ImageTable(const Group& group, const std::string& id) {
  return TableOfTimes(group, TotalMs, id + "-images", "Starts from nothing until ready, by image");
}

std::optional<Table> SecondTable(const Group& group, const std::string& id) {
  if (!HasAny(group, SecondMs)) return std::nullopt;
  return TableOfTimes(group, SecondMs, id + "-seconds", "Second runs, by image");
}

std::optional<Table> DataTable(const Group& group, const std::string& id) {
  if (!HasAny(group, ReceivedBytes)) return std::nullopt;
  Table table{id + "-received",
              "Bytes that the node received until ready, by image",
              {{"Image", false}, {"Compressed layers"}},
              {}};
  for (const std::string& system : group.systems) table.columns.push_back({system});
  for (const std::string& image : group.images) {
    std::vector<TableCell> row = {Text(image), Nothing()};
    for (const std::string& system : group.systems) {
      const Runs* runs = group.Find(system, image);
      const auto size = runs ? runs->MedianOf(ImageBytes) : std::nullopt;
      if (!row[1].value.has_value()) row[1] = Number(size, Unit::kBytes);
      const auto share = runs ? runs->MedianOf(ReceivedPercent) : std::nullopt;
      row.push_back(Number(runs ? runs->MedianOf(ReceivedBytes) : std::nullopt, Unit::kBytes,
                           share.has_value() ? Format(*share, Unit::kPercent) : ""));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<Section> GroupSections(const Model& model, const Group& group, int number) {
  if (!HasAny(group, TotalMs)) return {};
  const std::string id = "conditions-" + std::to_string(number);
  Section section{id, "Conditions: " + NameOf(group.conditions), {}};
  const auto add = [&section](auto block) {
    if (block.has_value()) section.blocks.emplace_back(*std::move(block));
  };
  if (!group.CommonImages().empty()) section.blocks.emplace_back(CategoryChart(group, id));
  add(DataChart(group, id));
  add(SpeedUpChart(model, group, /*development=*/false, id));
  add(SpeedUpChart(model, group, /*development=*/true, id));
  if (!group.CommonImages().empty()) section.blocks.emplace_back(PhaseChart(model, group, id));
  add(SecondChart(group, id));
  if (group.conditions.scenario == "start") {
    section.blocks.emplace_back(PaperTable(model, group, id));
  }
  section.blocks.emplace_back(ImageTable(group, id));
  add(SecondTable(group, id));
  add(DataTable(group, id));
  return {std::move(section)};
}

}  // namespace slacker::hellobench
