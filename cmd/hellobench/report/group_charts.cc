#include <algorithm>

#include "cmd/hellobench/report/group_figures.h"
#include "cmd/hellobench/report/paper.h"
#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

std::vector<double> Select(const std::map<std::string, double>& values,
                           const std::vector<std::string>& images) {
  std::vector<double> selected;
  for (const std::string& image : images) {
    if (const auto found = values.find(image); found != values.end()) {
      selected.push_back(found->second);
    }
  }
  return selected;
}

// Categories in order, with those of `images` that are in each.
std::vector<std::pair<std::string, std::vector<std::string>>> ByCategory(
    const Group& group, const std::vector<std::string>& images) {
  std::vector<std::pair<std::string, std::vector<std::string>>> categories;
  for (const std::string& image : images) {
    const std::string category = group.CategoryOf(image);
    if (categories.empty() || categories.back().first != category)
      categories.push_back({category, {}});
    categories.back().second.push_back(image);
  }
  return categories;
}

Table TableOfSystems(const std::string& id, const std::string& caption, const std::string& first,
                     const Group& group) {
  Table table{id, caption, {{first, false}}, {}};
  for (const std::string& system : group.systems) table.columns.push_back({system});
  return table;
}

// Where systems ran other images, those that all of them ran are what can be compared.
std::string OverCommon(const std::vector<std::string>& common) {
  return "Over the " + Count(static_cast<int64_t>(common.size()), "image") +
         " that all snapshotters got ready.";
}

}  // namespace

// Not the mean of shares: of an image of a few kilobytes the headers alone are many times its size.
std::optional<double> PercentTogether(const Group& group, const std::string& system,
                                      const std::vector<std::string>& images) {
  const auto received = group.Medians(system, ReceivedBytes);
  const auto sizes = group.Medians(system, ImageBytes);
  double all_received = 0, all_sizes = 0;
  for (const std::string& image : images) {
    if (!received.contains(image) || !sizes.contains(image)) continue;
    all_received += received.at(image);
    all_sizes += sizes.at(image);
  }
  if (all_sizes <= 0) return std::nullopt;
  return 100 * all_received / all_sizes;
}

Chart CategoryChart(const Group& group, const std::string& id) {
  const std::vector<std::string> common = group.CommonImages();
  const auto categories = ByCategory(group, common);
  Chart chart;
  chart.title = "Starts by category";
  chart.text = "From nothing until ready: medians over images. " + OverCommon(common);
  chart.y = {"Start, median", Unit::kMilliseconds, false};
  chart.table = TableOfSystems(id + "-categories", chart.title, "Category", group);
  chart.table.columns.insert(chart.table.columns.begin() + 1, {"Images"});
  for (const std::string& system : group.systems) chart.series.push_back({system, {}, {}});
  for (const auto& [category, images] : categories) {
    chart.labels.push_back(category);
    const auto count = static_cast<double>(images.size());
    std::vector<TableCell> row = {Text(category), Number(count, Unit::kCount)};
    for (Series& series : chart.series) {
      const double median = Median(Select(group.Medians(series.name, TotalMs), images));
      series.values.emplace_back(median);
      row.push_back(Number(median, Unit::kMilliseconds));
    }
    chart.table.rows.push_back(std::move(row));
  }
  return chart;
}

std::optional<Chart> SpeedUpChart(const Model& model, const Group& group, bool development,
                                  const std::string& id) {
  const auto cycle = [&](const std::string& system) {
    return development ? model.Development(group, system) : model.Deployment(group, system);
  };
  const auto baseline = cycle(std::string(kBaseline));
  Chart chart;
  chart.kind = ChartKind::kSteps;
  chart.title = development ? "Speed-ups, development cycle" : "Speed-ups, deployment cycle";
  chart.text = development
                   ? "Push or publication, pull, create and ready, beside overlayfs: the "
                     "share of images with this speed-up or a lower one."
                   : "Pull, create and ready, beside overlayfs: the share of images with this "
                     "speed-up or a lower one.";
  chart.x = {"Speed-up", Unit::kTimes, true};
  chart.y = {"Share of images", Unit::kPercent, false};
  chart.table = {id + (development ? "-development" : "-deployment"),
                 chart.title,
                 {{"Snapshotter", false},
                  {"Images"},
                  {"Least"},
                  {"10th percentile"},
                  {"Median"},
                  {"90th percentile"},
                  {"Greatest"}},
                 {}};
  for (const std::string& system : group.systems) {
    std::vector<double> ups = ValuesOf(SpeedUps(baseline, cycle(system)));
    if (system == kBaseline || ups.empty()) continue;
    std::sort(ups.begin(), ups.end());
    const auto count = static_cast<double>(ups.size());
    Series series{system, {}, {{ups.front(), 0}}};
    for (size_t i = 0; i < ups.size(); ++i) {
      series.points.emplace_back(ups[i], 100 * static_cast<double>(i + 1) / count);
    }
    chart.series.push_back(std::move(series));
    std::vector<TableCell> row = {Text(system), Number(count, Unit::kCount)};
    for (const double fraction : {0.0, 0.1, 0.5, 0.9, 1.0}) {
      row.push_back(Number(Quantile(ups, fraction), Unit::kTimes));
    }
    chart.table.rows.push_back(std::move(row));
  }
  if (chart.series.empty()) return std::nullopt;
  const double median = development ? paper::kDevelopmentMedian : paper::kDeploymentMedian;
  const double tenth = development ? paper::kDevelopmentTenth : paper::kDeploymentTenth;
  chart.series.push_back({"paper's Slacker", {}, {{median, 50}, {tenth, 90}}, true});
  chart.table.rows.push_back({Text("paper's Slacker"), Number(57.0, Unit::kCount), Nothing(),
                              Nothing(), PaperNumber(median, Unit::kTimes),
                              PaperNumber(tenth, Unit::kTimes), Nothing()});
  return chart;
}

Chart PhaseChart(const Model& model, const Group& group, const std::string& id) {
  const std::vector<std::string> common = group.CommonImages();
  Chart chart;
  chart.kind = ChartKind::kStacked;
  chart.title = "Phases";
  chart.text = "Means over images of their medians. " + OverCommon(common);
  chart.y = {"Mean", Unit::kMilliseconds, false};
  chart.labels = group.systems;
  chart.series_are_systems = false;
  chart.table = TableOfSystems(id + "-phases", chart.title, "Phase", group);
  const auto add = [&](const std::string& phase, const auto& medians) {
    Series series{phase, {}, {}};
    std::vector<TableCell> row = {Text(phase)};
    for (const std::string& system : group.systems) {
      const std::vector<double> values = Select(medians(system), common);
      series.values.push_back(values.empty() ? std::nullopt : std::optional(Mean(values)));
      row.push_back(Number(series.values.back(), Unit::kMilliseconds));
    }
    const bool measured = std::any_of(series.values.begin(), series.values.end(),
                                      [](const auto& value) { return value.has_value(); });
    if (!measured) return;
    chart.series.push_back(std::move(series));
    chart.table.rows.push_back(std::move(row));
  };
  add("push or publication", [&](const std::string& system) {
    std::map<std::string, double> prepared;
    for (const std::string& image : common) {
      const auto median = model.PrepareMedian(system, image, group.conditions.link);
      if (median.has_value()) prepared[image] = *median;
    }
    return prepared;
  });
  const std::pair<const char*, Measure> phases[] = {
      {"pull", PullMs}, {"create", CreateMs}, {"until ready", ReadyMs}};
  for (const auto& [name, measure] : phases) {
    add(name, [&, measure = measure](const std::string& system) {
      return group.Medians(system, measure);
    });
  }
  return chart;
}

std::optional<Chart> DataChart(const Group& group, const std::string& id) {
  const std::vector<std::string> common = group.CommonImages();
  auto categories = ByCategory(group, common);
  categories.emplace_back("all", common);
  Chart chart;
  chart.title = "Data received, of the image";
  chart.text =
      "Bytes that the node received until the container was ready, of the images' compressed "
      "layers, all images of a "
      "category together. The paper's starts read 6.4 % of the images' data, uncompressed. " +
      OverCommon(common);
  chart.y = {"Received, of the image", Unit::kPercent, false};
  chart.table = TableOfSystems(id + "-data", chart.title, "Category", group);
  chart.table.columns.insert(chart.table.columns.begin() + 1, {"Image, median"});
  for (const std::string& system : group.systems) chart.series.push_back({system, {}, {}});
  bool measured = false;
  for (const auto& [category, images] : categories) {
    chart.labels.push_back(category);
    const std::vector<double> sizes =
        Select(group.Medians(group.systems.front(), ImageBytes), images);
    std::vector<TableCell> row = {Text(category)};
    row.push_back(sizes.empty() ? Nothing() : Number(Median(sizes), Unit::kBytes));
    for (Series& series : chart.series) {
      const std::vector<double> bytes = Select(group.Medians(series.name, ReceivedBytes), images);
      series.values.push_back(PercentTogether(group, series.name, images));
      measured = measured || series.values.back().has_value();
      const std::string note =
          bytes.empty() ? "" : Format(Median(bytes), Unit::kBytes) + " received, median";
      row.push_back(Number(series.values.back(), Unit::kPercent, note));
    }
    chart.table.rows.push_back(std::move(row));
  }
  return measured ? std::optional(chart) : std::nullopt;
}

std::optional<Chart> SecondChart(const Group& group, const std::string& id) {
  std::vector<std::string> both = group.CommonImages();
  for (const std::string& system : group.systems) {
    const auto seconds = group.Medians(system, SecondMs);
    std::erase_if(both, [&](const std::string& image) { return !seconds.contains(image); });
  }
  if (both.empty()) return std::nullopt;
  Chart chart;
  chart.title = "First and second run";
  chart.text =
      "The second run creates and starts the container again on the node that has run it. Medians "
      "over images. " +
      OverCommon(both);
  chart.y = {"Median", Unit::kMilliseconds, false};
  chart.labels = group.systems;
  chart.series_are_systems = false;
  chart.table = TableOfSystems(id + "-second", chart.title, "Run", group);
  const std::pair<const char*, Measure> measures[] = {
      {"first, with its pull", TotalMs}, {"first, without", RunMs}, {"second", SecondMs}};
  for (const auto& [name, measure] : measures) {
    Series series{name, {}, {}};
    std::vector<TableCell> row = {Text(name)};
    for (const std::string& system : group.systems) {
      const std::vector<double> values = Select(group.Medians(system, measure), both);
      series.values.push_back(values.empty() ? std::nullopt : std::optional(Median(values)));
      row.push_back(Number(series.values.back(), Unit::kMilliseconds));
    }
    chart.series.push_back(std::move(series));
    chart.table.rows.push_back(std::move(row));
  }
  return chart;
}

}  // namespace slacker::hellobench
