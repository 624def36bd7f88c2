// What is asked of a run, and of the repetitions of one.
#include <algorithm>
#include <map>

#include "cmd/hellobench/report/model.h"

namespace slacker::hellobench {
namespace {

std::optional<double> Number(const std::optional<int64_t>& value) {
  if (!value.has_value()) return std::nullopt;
  return static_cast<double>(*value);
}

}  // namespace

std::optional<double> PrepareMs(const Result& result) { return result.phases.prepare_ms; }
std::optional<double> PullMs(const Result& result) { return result.phases.pull_ms; }
std::optional<double> CreateMs(const Result& result) { return result.phases.create_ms; }
std::optional<double> ReadyMs(const Result& result) { return result.phases.ready_ms; }
std::optional<double> RunMs(const Result& result) {
  const Phases& phases = result.phases;
  if (!phases.create_ms.has_value() || !phases.ready_ms.has_value()) return std::nullopt;
  return *phases.create_ms + *phases.ready_ms;
}
std::optional<double> TotalMs(const Result& result) { return result.phases.total_ms; }
std::optional<double> SecondMs(const Result& result) { return result.phases.second_ms; }
std::optional<double> ReceivedBytes(const Result& result) {
  return Number(result.traffic.received_bytes);
}
std::optional<double> DiskBytes(const Result& result) { return Number(result.disk_bytes); }

std::optional<double> ImageBytes(const Result& result) {
  if (result.image_bytes <= 0) return std::nullopt;
  return static_cast<double>(result.image_bytes);
}

std::optional<double> ReceivedPercent(const Result& result) {
  const std::optional<double> received = ReceivedBytes(result), image = ImageBytes(result);
  if (!received.has_value() || !image.has_value()) return std::nullopt;
  return 100 * *received / *image;
}

std::optional<double> Requests(const Result& result) {
  const Traffic& traffic = result.traffic;
  if (!traffic.registry_requests.has_value() && !traffic.store_requests.has_value()) {
    return std::nullopt;
  }
  // A store that does not count: the registry's alone would be less than there were.
  if (!result.setup.store.empty() && !traffic.store_requests.has_value()) return std::nullopt;
  return static_cast<double>(traffic.registry_requests.value_or(0) +
                             traffic.store_requests.value_or(0));
}

std::optional<double> CpuSeconds(const Result& result) {
  if (result.daemons.empty()) return std::nullopt;
  double seconds = 0;
  for (const DaemonUse& daemon : result.daemons) seconds += daemon.cpu_seconds;
  return seconds;
}

std::optional<double> PeakRssBytes(const Result& result) {
  if (result.daemons.empty()) return std::nullopt;
  double bytes = 0;
  for (const DaemonUse& daemon : result.daemons) {
    bytes += static_cast<double>(daemon.peak_rss_bytes);
  }
  return bytes;
}

int64_t Runs::Failed() const {
  return std::count_if(results.begin(), results.end(),
                       [](const Result& result) { return !result.error.empty(); });
}

std::vector<double> Runs::Values(Measure measure) const {
  std::vector<double> values;
  for (const Result& result : results) {
    const std::optional<double> value = measure(result);
    if (result.error.empty() && value.has_value()) values.push_back(*value);
  }
  return values;
}

std::optional<Spread> Runs::Of(Measure measure) const {
  const std::vector<double> values = Values(measure);
  if (values.empty()) return std::nullopt;
  return SpreadOf(values);
}

std::optional<double> Runs::MedianOf(Measure measure) const {
  const std::optional<Spread> spread = Of(measure);
  if (!spread.has_value()) return std::nullopt;
  return spread->median;
}

std::vector<double> Runs::Last(Measure measure) const {
  struct Start {
    double last = 0;
    int64_t ready = 0;
  };
  std::map<std::pair<std::string, int64_t>, Start> starts;  // by session and repetition
  for (const Result& result : results) {
    Start& start = starts[{result.session.id, result.repetition}];
    const std::optional<double> value = measure(result);
    if (!result.error.empty() || !value.has_value()) continue;
    start.last = std::max(start.last, *value);
    ++start.ready;
  }
  std::vector<double> values;
  for (const auto& [key, start] : starts) {
    const Setup& setup = results.front().setup;
    if (start.ready == setup.nodes * setup.at_once) values.push_back(start.last);
  }
  return values;
}

std::map<std::string, FigureSpread> FiguresOf(const Runs& runs) {
  std::map<std::string, std::vector<double>> values;
  std::map<std::string, FigureSpread> figures;
  for (const Result& result : runs.results) {
    if (!result.error.empty()) continue;
    for (const Figure& figure : result.figures) {
      values[figure.name].push_back(figure.value);
      figures[figure.name].unit = figure.unit;
    }
  }
  for (auto& [name, figure] : figures) figure.spread = SpreadOf(values[name]);
  return figures;
}

}  // namespace slacker::hellobench
