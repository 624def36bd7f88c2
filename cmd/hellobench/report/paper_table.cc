// The paper's figures, and what they are here.
#include <algorithm>

#include "cmd/hellobench/report/group_figures.h"
#include "cmd/hellobench/report/paper.h"
#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

using Statistic = double (*)(const std::vector<double>& values);

double MedianOf(const std::vector<double>& values) { return Median(values); }
double TenthOf(const std::vector<double>& values) { return Quantile(values, 0.9); }

std::optional<double> Apply(Statistic statistic, const std::map<std::string, double>& values) {
  if (values.empty()) return std::nullopt;
  return statistic(ValuesOf(values));
}

bool Has(const std::vector<std::string>& images, const std::string& image) {
  return std::find(images.begin(), images.end(), image) != images.end();
}

std::map<std::string, double> Prepared(const Model& model, const Group& group,
                                       const std::string& system) {
  std::map<std::string, double> prepared;
  for (const std::string& image : group.images) {
    const auto median = model.PrepareMedian(system, image, group.conditions.link);
    if (median.has_value()) prepared[image] = *median;
  }
  return prepared;
}

// What is slower there is faster here: one of them alone is no figure.
std::optional<double> SpeedUp(Statistic statistic, const std::map<std::string, double>& baseline,
                              const std::map<std::string, double>& values,
                              const std::string& system) {
  if (system == kBaseline) return std::nullopt;
  return Apply(statistic, SpeedUps(baseline, values));
}

// Of the means, as the paper's is.
std::optional<double> PullPercent(const Group& group, const std::string& system,
                                  const std::vector<std::string>& images) {
  double pull = 0, total = 0;
  const std::map<std::string, double> totals = group.Medians(system, TotalMs);
  for (const auto& [image, median] : group.Medians(system, PullMs)) {
    if (!totals.contains(image) || !Has(images, image)) continue;
    pull += median;
    total += totals.at(image);
  }
  if (total <= 0) return std::nullopt;
  return 100 * pull / total;
}

// What recorded starts have read, of the images' layers, as snapshotters that record them tell: of all together,
// uncompressed, as the paper's is.
std::optional<double> ReadPercent(const Model& model, const std::string& system,
                                  const std::vector<std::string>& images) {
  double read = 0, layers = 0;
  for (const std::string& image : images) {
    const auto of_start = model.PrepareFigure(system, image, "image.read");
    const auto of_image = model.PrepareFigure(system, image, "image.layers");
    if (!of_start.has_value() || !of_image.has_value()) continue;
    read += *of_start;
    layers += *of_image;
  }
  if (layers <= 0) return std::nullopt;
  return 100 * read / layers;
}

using Paper = std::optional<double>;

// Only those values that are of these images.
std::map<std::string, double> OnlyOf(std::map<std::string, double> values,
                                     const std::vector<std::string>& images) {
  std::erase_if(values, [&](const auto& value) { return !Has(images, value.first); });
  return values;
}

// Of the paper's six, in its order; those of which there is no image here have no rows. What is read was
// measured with AUFS there, and is the images' own.
struct OfCategory {
  const char* name;
  Paper run_mean, read_percent;
};
constexpr OfCategory kCategories[] = {
    {"distro", paper::kDistroRunMean, 100 / paper::kDistroWaste},
    {"database", std::nullopt, std::nullopt},
    {"language", paper::kLanguageRunMean, std::nullopt},
    {"web-server", std::nullopt, std::nullopt},
    {"web-framework", std::nullopt, std::nullopt},
    {"other", std::nullopt, std::nullopt},
};

class Rows {
 public:
  Rows(const Model& model, const Group& group, Table* table)
      : model_(model), group_(group), table_(table) {}

  template <typename Ours>
  void Add(const std::string& name, Unit unit, Paper aufs, Paper slacker, const Ours& ours) {
    std::vector<TableCell> row = {Text(name), PaperNumber(aufs, unit), PaperNumber(slacker, unit)};
    for (const std::string& system : group_.systems) row.push_back(Number(ours(system), unit));
    table_->rows.push_back(std::move(row));
  }
  void AddSpeedUp(const std::string& name, Statistic statistic, double slacker, bool development) {
    const auto cycle = [&](const std::string& system) {
      return development ? model_.Development(group_, system) : model_.Deployment(group_, system);
    };
    const auto baseline = cycle(std::string(kBaseline));
    Add(name, Unit::kTimes, std::nullopt, slacker, [&](const std::string& system) {
      return SpeedUp(statistic, baseline, cycle(system), system);
    });
  }
  void AddMedians(const std::string& name, Unit unit, Paper aufs, Paper slacker, Measure measure,
                  Statistic statistic) {
    Add(name, unit, aufs, slacker, [&](const std::string& system) {
      return Apply(statistic, group_.Medians(system, measure));
    });
  }
  void AddCategory(const OfCategory& category) {
    std::vector<std::string> images;
    for (const std::string& image : group_.images) {
      if (group_.CategoryOf(image) == category.name) images.push_back(image);
    }
    if (images.empty()) return;
    const std::string prefix = std::string(category.name) + ": ";
    Add(prefix + "pull, of pull and run", Unit::kPercent, std::nullopt, std::nullopt,
        [&](const std::string& system) { return PullPercent(group_, system, images); });
    AddRead(prefix + "data read by a recorded start, of the layers, uncompressed", std::nullopt,
            images);
    Add(prefix + "data read (here: received), of the images", Unit::kPercent, category.read_percent,
        std::nullopt,
        [&](const std::string& system) { return PercentTogether(group_, system, images); });
    Add(prefix + "run, mean", Unit::kMilliseconds, category.run_mean, std::nullopt,
        [&](const std::string& system) {
          return Apply(Mean, OnlyOf(group_.Medians(system, RunMs), images));
        });
    Add(prefix + "image, compressed, median", Unit::kBytes, std::nullopt, std::nullopt,
        [&](const std::string& system) {
          return Apply(MedianOf, OnlyOf(group_.Medians(system, ImageBytes), images));
        });
  }
  // Nothing where no start was recorded.
  void AddRead(const std::string& name, Paper aufs, const std::vector<std::string>& images) {
    const auto ours = [&](const std::string& system) {
      return ReadPercent(model_, system, images);
    };
    const bool any =
        std::any_of(group_.systems.begin(), group_.systems.end(),
                    [&](const std::string& system) { return ours(system).has_value(); });
    if (any) Add(name, Unit::kPercent, aufs, std::nullopt, ours);
  }
  void AddPushes(const std::string& name, Paper aufs, Paper slacker, Statistic statistic) {
    Add(name, Unit::kMilliseconds, aufs, slacker, [&](const std::string& system) {
      return Apply(statistic, Prepared(model_, group_, system));
    });
  }

 private:
  const Model& model_;
  const Group& group_;
  Table* table_;
};

}  // namespace

TableCell PaperNumber(std::optional<double> value, Unit unit) {
  TableCell cell = Number(value, unit);
  if (const size_t point = cell.text.find('.'); point != std::string::npos) {
    const size_t end =
        std::min(cell.text.find_first_not_of("0123456789", point + 1), cell.text.size());
    size_t last = end;
    while (cell.text[last - 1] == '0') --last;
    if (last - 1 == point) --last;
    cell.text.erase(last, end - last);
  }
  return cell;
}

Table PaperTable(const Model& model, const Group& group, const std::string& id) {
  Table table{id + "-paper",
              "The paper's figures (FAST'16), and these",
              {{"Figure", false}, {"Paper, AUFS"}, {"Paper, Slacker"}},
              {}};
  for (const std::string& system : group.systems) table.columns.push_back({system});
  Rows rows(model, group, &table);
  const Unit ms = Unit::kMilliseconds;
  rows.AddSpeedUp("Deployment cycle, speed-up: median", MedianOf, paper::kDeploymentMedian, false);
  rows.AddSpeedUp("Deployment cycle, speed-up: 90th percentile", TenthOf, paper::kDeploymentTenth,
                  false);
  rows.AddSpeedUp("Development cycle, speed-up: median", MedianOf, paper::kDevelopmentMedian, true);
  rows.AddSpeedUp("Development cycle, speed-up: 90th percentile", TenthOf, paper::kDevelopmentTenth,
                  true);
  rows.Add("Pull, of pull and run", Unit::kPercent, paper::kPullPercent, std::nullopt,
           [&](const std::string& system) { return PullPercent(group, system, group.images); });
  rows.AddRead("Data read by a recorded start, of the layers, uncompressed: all together",
               paper::kReadPercent, group.images);
  rows.Add("Data read (here: received), of the images: all together", Unit::kPercent,
           paper::kReadPercent, std::nullopt,
           [&](const std::string& system) { return PercentTogether(group, system, group.images); });
  rows.AddMedians("Data received, of the image: median", Unit::kPercent, std::nullopt, std::nullopt,
                  ReceivedPercent, MedianOf);
  rows.AddMedians("Data read (here: received, compressed): median", Unit::kBytes,
                  paper::kReadBytesMedian, std::nullopt, ReceivedBytes, MedianOf);
  rows.AddMedians("Data read (here: received, compressed): mean", Unit::kBytes,
                  paper::kReadBytesMean, std::nullopt, ReceivedBytes, Mean);
  rows.AddPushes("Push or publication: mean", paper::kPushMean, paper::kSlackerPushMean, Mean);
  rows.AddMedians("Pull: mean", ms, paper::kPullMean, paper::kSlackerPullMean, PullMs, Mean);
  rows.AddMedians("Run: mean", ms, paper::kRunMean, paper::kSlackerRunMean, RunMs, Mean);
  rows.AddPushes("Push or publication: median", paper::kPushMedian, std::nullopt, MedianOf);
  rows.AddMedians("Pull: median", ms, paper::kPullMedian, std::nullopt, PullMs, MedianOf);
  rows.AddMedians("Run: median", ms, paper::kRunMedian, std::nullopt, RunMs, MedianOf);
  rows.AddMedians("Second run: median", ms, paper::kSecondAufs, paper::kSecondSlacker, SecondMs,
                  MedianOf);
  rows.AddMedians("Image, compressed: median", Unit::kBytes, paper::kImageBytesMedian, std::nullopt,
                  ImageBytes, MedianOf);
  for (const OfCategory& category : kCategories) rows.AddCategory(category);
  return table;
}

}  // namespace slacker::hellobench
