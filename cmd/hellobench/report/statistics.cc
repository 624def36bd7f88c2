#include "cmd/hellobench/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "backend/base/check.h"

namespace slacker::hellobench {
namespace {

// Not a std::uniform_int_distribution: libraries differ in what that makes of the same numbers.
size_t Draw(std::mt19937_64& random, size_t count) { return random() % count; }

// Of as many runs as there are, drawn with replacement.
double ResampledMedian(const std::vector<double>& values, std::mt19937_64& random) {
  std::vector<double> drawn(values.size());
  for (double& value : drawn) value = values[Draw(random, values.size())];
  return Median(std::move(drawn));
}

}  // namespace

double Quantile(std::vector<double> values, double fraction) {
  SLACKER_CHECK(!values.empty(), "nothing has no statistics");
  SLACKER_CHECK(fraction >= 0 && fraction <= 1, "a quantile is of a fraction");
  std::sort(values.begin(), values.end());
  const double place = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  if (below + 1 == values.size()) return values.back();
  return values[below] + (place - static_cast<double>(below)) * (values[below + 1] - values[below]);
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double Mean(const std::vector<double>& values) {
  SLACKER_CHECK(!values.empty(), "nothing has no statistics");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double GeometricMean(const std::vector<double>& values) {
  SLACKER_CHECK(!values.empty(), "nothing has no statistics");
  double logarithms = 0;
  for (const double value : values) logarithms += std::log(value);
  return std::exp(logarithms / static_cast<double>(values.size()));
}

Spread SpreadOf(const std::vector<double>& values) {
  SLACKER_CHECK(!values.empty(), "nothing has no statistics");
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return {*least, Median(values), *greatest, static_cast<int64_t>(values.size())};
}

Ratio RatioOfMedians(const std::vector<BeforeAndAfter>& pairs) {
  std::vector<double> ratios;
  bool each_has_four = true;
  for (const BeforeAndAfter& pair : pairs) {
    ratios.push_back(Median(pair.after) / Median(pair.before));
    each_has_four = each_has_four && pair.before.size() >= 4 && pair.after.size() >= 4;
  }
  Ratio result;
  result.value = GeometricMean(ratios);
  std::mt19937_64 random(1);  // the standard says what its numbers are
  std::vector<double> means;
  for (int resample = 0; resample < kResamples; ++resample) {
    for (double& ratio : ratios) {
      const BeforeAndAfter& pair = pairs[Draw(random, pairs.size())];
      const double before = ResampledMedian(pair.before, random);
      ratio = ResampledMedian(pair.after, random) / before;
    }
    means.push_back(GeometricMean(ratios));
  }
  result.low = Quantile(means, 0.025);
  result.high = Quantile(std::move(means), 0.975);
  result.shown = (each_has_four || pairs.size() >= 6) && (result.high < 1 || result.low > 1);
  return result;
}

}  // namespace slacker::hellobench
