// The statistics of reports: medians with what they spread over, quantiles, ratios with intervals.
//
// Runs of containers are few and their times have long tails: what is typical is a median, and what it
// is worth is said by the least and the greatest beside it. Functions of a list REQUIRE that it is not
// empty; the order of its values does not matter.
#pragma once

#include <cstdint>
#include <vector>

namespace slacker::hellobench {

// Between the two values next to the place fraction * (n - 1), in proportion (Hyndman and Fan's type 7,
// the default of R and NumPy). REQUIRES: 0 <= fraction <= 1.
double Quantile(std::vector<double> values, double fraction);
double Median(std::vector<double> values);
double Mean(const std::vector<double>& values);
// REQUIRES: all > 0.
double GeometricMean(const std::vector<double>& values);

struct Spread {
  double least = 0;
  double median = 0;
  double greatest = 0;
  int64_t count = 0;
};
Spread SpreadOf(const std::vector<double>& values);

// The same thing, measured several times before and several times after, all > 0.
struct BeforeAndAfter {
  std::vector<double> before;
  std::vector<double> after;
};

// median(after) / median(before), the geometric mean over all pairs, and a 95 % interval of it.
struct Ratio {
  double value = 1;
  double low = 1;
  double high = 1;
  // The interval is without 1, and there were enough runs for it to mean something: at least four
  // before and four after of each pair (of 70 ways to deal eight runs, two separate them), or at least
  // six pairs (all on one side: two of 64).
  bool shown = false;
};

inline constexpr int kResamples = 2000;

// The bootstrap's percentiles: pairs are drawn with replacement, then runs within each of them, before
// and after apart, kResamples times; the interval is between the quantiles 0.025 and 0.975 of the ratios.
// The same pairs give the same interval, on any machine. REQUIRES: pairs, each with runs on both sides.
Ratio RatioOfMedians(const std::vector<BeforeAndAfter>& pairs);

}  // namespace slacker::hellobench
