// What a report says first: what is slower, what failed, and all of it in a line each.
#include <algorithm>
#include <set>

#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

int64_t BeyondSpread(const Slower& slower) {
  return std::count_if(slower.cases.begin(), slower.cases.end(),
                       [](const Slower::Case& one) { return one.beyond_spread; });
}

int64_t Single(const Slower& slower) {
  return std::count_if(slower.cases.begin(), slower.cases.end(),
                       [](const Slower::Case& one) { return one.single; });
}

const char* IsClear(const Slower::Case& one) {
  if (one.single) return "one run";
  return one.beyond_spread ? "yes" : "no";
}

// How often, how surely and how much.
std::string ClauseOf(const Slower& slower) {
  const auto count = static_cast<int64_t>(slower.cases.size());
  const int64_t beyond = BeyondSpread(slower), single = Single(slower);
  const Slower::Case& worst = slower.cases.front();
  return "than " + slower.than + " in " + Of(count, slower.compared) + ", clearly in " +
         (beyond == 0 ? "none" : std::to_string(beyond)) +
         (single == 0 ? "" : ", by a single run in " + std::to_string(single)) + ", at worst " +
         Format(worst.ratio, Unit::kTimes) + " (" + worst.image + ", " + NameOf(worst.conditions) +
         ")";
}

// One item for a system and a measure, about all others that are faster in it.
std::vector<List::Item> SlowerItems(const std::vector<Slower>& all) {
  std::vector<List::Item> items;
  const Slower* previous = nullptr;
  for (const Slower& slower : all) {
    if (slower.cases.empty()) continue;
    if (previous != nullptr && previous->system == slower.system &&
        previous->measure == slower.measure) {
      items.back().text += "; " + ClauseOf(slower);
    } else {
      items.push_back({slower.system + ", " + slower.measure + ":", "slower " + ClauseOf(slower)});
    }
    previous = &slower;
  }
  return items;
}

// What was compared and is slower in nothing.
std::string NeverSlower(const std::vector<Slower>& all) {
  std::map<std::string, std::pair<int64_t, size_t>> systems;  // compared, slower
  for (const Slower& slower : all) {
    systems[slower.system].first += slower.compared;
    systems[slower.system].second += slower.cases.size();
  }
  std::vector<std::string> names;
  int64_t compared = 0;
  for (const auto& [system, counts] : systems) {
    if (counts.second > 0) continue;
    names.push_back(system);
    compared += counts.first;
  }
  if (names.empty()) return "";
  return "In none of " + Count(compared, "comparison") +
         " slower than another snapshotter: " + Join(names) + ".";
}

Table SlowerTable(const std::vector<Slower>& all) {
  Table table{"slower-cases",
              "Everything that is slower, by medians under the same conditions",
              {{"Snapshotter", false},
               {"In", false},
               {"Slower than", false},
               {"Image", false},
               {"Conditions", false},
               {"Times slower"},
               {"Clearly", false}},
              {}};
  for (const Slower& slower : all) {
    for (const Slower::Case& one : slower.cases) {
      table.rows.push_back({Text(slower.system), Text(slower.measure), Text(slower.than),
                            Text(one.image), Text(NameOf(one.conditions)),
                            Number(one.ratio, Unit::kTimes), Text(IsClear(one))});
    }
  }
  return table;
}

// The same failure of the same setup counts together.
void AddFailures(const Group& group, Table* table) {
  for (const auto& [key, runs] : group.runs) {
    std::map<std::string, int64_t> reasons;
    for (const Result& result : runs.results) {
      if (!result.error.empty()) ++reasons[result.error];
    }
    for (const auto& [reason, count] : reasons) {
      table->rows.push_back({Text(key.first),
                             Text(key.second),
                             Text(NameOf(group.conditions)),
                             {Of(count, runs.count()), "", static_cast<double>(count)},
                             Text(reason)});
    }
  }
}

std::optional<double> MedianOfMedians(const Group& group, const std::string& system,
                                      Measure measure) {
  const std::vector<double> medians = ValuesOf(group.Medians(system, measure));
  if (medians.empty()) return std::nullopt;
  return Median(medians);
}

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

std::vector<TableCell> SummaryRow(const Model& model, const Group& group,
                                  const std::string& system) {
  int64_t runs = 0, failed = 0;
  for (const auto& [key, of_image] : group.runs) {
    if (key.first != system) continue;
    runs += of_image.count();
    failed += of_image.Failed();
  }
  const std::map<std::string, double> baseline = model.Deployment(group, std::string(kBaseline));
  const std::map<std::string, double> totals = model.Deployment(group, system);
  std::optional<double> sum, median, baseline_sum, speed_up, tenth;
  if (!totals.empty()) {
    sum = Sum(ValuesOf(totals));
    median = Median(ValuesOf(totals));
  }
  std::vector<double> same_images;
  for (const auto& [image, total] : totals) {
    if (baseline.contains(image)) same_images.push_back(baseline.at(image));
  }
  if (!same_images.empty() && same_images.size() == totals.size()) {
    baseline_sum = Sum(same_images);
  }
  if (const auto ups = ValuesOf(SpeedUps(baseline, totals)); !ups.empty() && system != kBaseline) {
    speed_up = Median(ups);
    tenth = Quantile(ups, 0.9);
  }
  const auto whole = [](int64_t count) { return Number(static_cast<double>(count), Unit::kCount); };
  return {Text(system),
          Text(NameOf(group.conditions)),
          Number(speed_up, Unit::kTimes),
          Number(tenth, Unit::kTimes),
          Number(median, Unit::kMilliseconds),
          Number(sum, Unit::kMilliseconds),
          Number(baseline_sum, Unit::kMilliseconds),
          whole(static_cast<int64_t>(totals.size())),
          whole(runs),
          whole(failed),
          Number(MedianOfMedians(group, system, ReceivedBytes), Unit::kBytes),
          Number(MedianOfMedians(group, system, Requests), Unit::kCount),
          Number(MedianOfMedians(group, system, CpuSeconds), Unit::kSeconds),
          Number(MedianOfMedians(group, system, PeakRssBytes), Unit::kBytes),
          Number(MedianOfMedians(group, system, DiskBytes), Unit::kBytes)};
}

}  // namespace

Section SlowerSection(const Model& model) {
  const std::vector<Slower> all = FindSlower(model);
  Section section{"slower", "What is slower", {}, true};
  if (all.empty()) {
    section.blocks.emplace_back(
        Paragraph{"Nothing could be compared: no image was run by two snapshotters under the same "
                  "conditions."});
    return section;
  }
  const std::vector<List::Item> items = SlowerItems(all);
  if (!items.empty()) section.blocks.emplace_back(List{items});
  if (const std::string never = NeverSlower(all); !never.empty()) {
    section.blocks.emplace_back(Paragraph{never});
  }
  if (items.empty()) return section;
  section.blocks.emplace_back(Paragraph{
      "Counted are images under the same conditions, by their medians. Clearly: the fastest run "
      "was slower than the other's slowest, and both have several; the rest may be chance. By a "
      "single run: one of both has no other (an image is prepared once). Every case is in a table "
      "below."});
  return section;
}

std::vector<Section> SlowerTableSections(const Model& model) {
  Table table = SlowerTable(FindSlower(model));
  if (table.rows.empty()) return {};
  return {{"slower-all", "Everything that is slower", {std::move(table)}, false, true}};
}

Section FailureSection(const Model& model) {
  const bool none = model.failed() == 0 && model.failed_preparations() == 0;
  Section section{"failures", "What failed", {}, !none};
  if (none) {
    section.blocks.emplace_back(
        Paragraph{"Nothing: all of " + Count(model.runs(), "run") + " got there."});
    return section;
  }
  std::string text = Of(model.failed(), model.runs()) + " runs failed";
  if (model.failed_preparations() > 0) {
    text += ", and " + Of(model.failed_preparations(), model.preparations()) +
            " preparations of an image for a snapshotter";
  }
  section.blocks.emplace_back(
      Paragraph{text + ". They have no part in times; they are not left out of counts."});
  Table table{"failed",
              "Failures, by what was run",
              {{"Snapshotter", false},
               {"Image", false},
               {"Conditions", false},
               {"Failed"},
               {"Reason", false}},
              {}};
  for (const Group& group : model.groups()) AddFailures(group, &table);
  section.blocks.emplace_back(std::move(table));
  return section;
}

Section SummarySection(const Model& model) {
  Table table{"summary-table",
              "Starts from nothing until ready, beside overlayfs",
              {{"Snapshotter", false},
               {"Conditions", false},
               {"Speed-up, median"},
               {"Speed-up, 90th percentile"},
               {"Start, median"},
               {"Start, sum"},
               {"The same images with overlayfs, sum"},
               {"Images"},
               {"Runs"},
               {"Failed"},
               {"Received"},
               {"Requests"},
               {"CPU of daemons"},
               {"Peak RSS of daemons"},
               {"Disk"}},
              {}};
  for (const Group& group : model.groups()) {
    if (group.conditions.scenario == kPreparation) continue;
    for (const std::string& system : group.systems) {
      std::vector<TableCell> row = SummaryRow(model, group, system);
      const bool was_timed = row[7].value > 0 || row[9].value > 0;
      if (was_timed) table.rows.push_back(std::move(row));
    }
  }
  Section section{"summary", "In short", {}};
  section.blocks.emplace_back(std::move(table));
  section.blocks.emplace_back(Paragraph{
      "Each image counts once, with the median of its runs; the columns from Received on are "
      "medians over "
      "images. Rows with other images than their neighbours' can be compared by their speed-ups "
      "alone."});
  return section;
}

std::string Of(int64_t part, int64_t whole) {
  return std::to_string(part) + " of " + std::to_string(whole);
}

std::string Count(int64_t count, const std::string& what) {
  return Format(static_cast<double>(count), Unit::kCount) + "\u00a0" + what +
         (count == 1 ? "" : "s");
}

std::string Join(const std::vector<std::string>& words) {
  std::string joined;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) joined += i + 1 == words.size() ? " and " : ", ";
    joined += words[i];
  }
  return joined;
}

std::string NoteOf(const Spread& spread, Unit unit) {
  if (spread.count == 1) return "1 run";
  return Format(spread.least, unit) + "–" + Format(spread.greatest, unit) + "; " +
         Count(spread.count, "run");
}

}  // namespace slacker::hellobench
