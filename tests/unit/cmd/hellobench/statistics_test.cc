#include "cmd/hellobench/report/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace slacker::hellobench {
namespace {

TEST(StatisticsTest, QuantilesLieBetweenTheTwoNextValues) {
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 1), 4);
  // R: quantile(c(1, 2, 3, 4), 0.9) is 3.7
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 0.9), 3.7);
  EXPECT_DOUBLE_EQ(Quantile({7}, 0.3), 7);
}

TEST(StatisticsTest, MediansOfOddAndEvenCounts) {
  EXPECT_DOUBLE_EQ(Median({9, 1, 5}), 5);
  EXPECT_DOUBLE_EQ(Median({9, 1, 5, 6}), 5.5);
}

TEST(StatisticsTest, MeansOfSumsAndOfProducts) {
  EXPECT_DOUBLE_EQ(Mean({1, 2, 6}), 3);
  EXPECT_DOUBLE_EQ(GeometricMean({0.5, 2}), 1);
  EXPECT_DOUBLE_EQ(GeometricMean({2, 4, 8}), 4);
}

TEST(StatisticsTest, ASpreadHasItsEndsAndCount) {
  const Spread spread = SpreadOf({3, 1, 2, 10});
  EXPECT_DOUBLE_EQ(spread.least, 1);
  EXPECT_DOUBLE_EQ(spread.median, 2.5);
  EXPECT_DOUBLE_EQ(spread.greatest, 10);
  EXPECT_EQ(spread.count, 4);
}

TEST(StatisticsTest, ARatioOfOneValueEachIsThatRatioAndShowsNothing) {
  const Ratio ratio = RatioOfMedians({{{2}, {3}}});
  EXPECT_DOUBLE_EQ(ratio.value, 1.5);
  EXPECT_DOUBLE_EQ(ratio.low, 1.5);
  EXPECT_DOUBLE_EQ(ratio.high, 1.5);
  EXPECT_FALSE(ratio.shown);
}

TEST(StatisticsTest, FourRunsApartShowADifferenceAndThreeDoNot) {
  EXPECT_TRUE(RatioOfMedians({{{10, 11, 12, 13}, {20, 21, 22, 23}}}).shown);
  EXPECT_TRUE(RatioOfMedians({{{20, 21, 22, 23}, {10, 11, 12, 13}}}).shown);
  EXPECT_FALSE(RatioOfMedians({{{10, 11, 12}, {20, 21, 22}}}).shown);
}

TEST(StatisticsTest, RunsThatOverlapShowNoDifference) {
  const Ratio ratio = RatioOfMedians({{{10, 12, 14, 16, 18}, {11, 13, 15, 17, 19}}});
  EXPECT_FALSE(ratio.shown);
  EXPECT_LT(ratio.low, 1);
  EXPECT_GT(ratio.high, 1);
}

TEST(StatisticsTest, TheIntervalIsThatOfAnExactBootstrap) {
  // Of the 27 ways to draw three of {1, 2, 3}, the median is 1 in 7, 2 in 13, 3 in 7: of ratios to a
  // certain 1, 1 is at 0.025 and 3 at 0.975.
  const Ratio ratio = RatioOfMedians({{{1, 1, 1}, {1, 2, 3}}});
  EXPECT_DOUBLE_EQ(ratio.value, 2);
  EXPECT_DOUBLE_EQ(ratio.low, 1);
  EXPECT_DOUBLE_EQ(ratio.high, 3);
}

TEST(StatisticsTest, SixPairsOnOneSideShowADifferenceAndFiveDoNot) {
  const BeforeAndAfter pair{{10}, {9}};
  EXPECT_FALSE(RatioOfMedians(std::vector<BeforeAndAfter>(5, pair)).shown);
  EXPECT_TRUE(RatioOfMedians(std::vector<BeforeAndAfter>(6, pair)).shown);
  std::vector<BeforeAndAfter> mixed(6, pair);
  mixed[0] = mixed[1] = mixed[2] = {{9}, {10}};
  const Ratio ratio = RatioOfMedians(mixed);
  EXPECT_NEAR(ratio.value, 1, 1e-12);
  EXPECT_FALSE(ratio.shown);
}

TEST(StatisticsTest, TheSamePairsGiveTheSameInterval) {
  const std::vector<BeforeAndAfter> pairs = {{{10, 12, 14}, {11, 13, 19}}, {{5, 6, 9}, {4, 8, 8}}};
  const Ratio one = RatioOfMedians(pairs), other = RatioOfMedians(pairs);
  EXPECT_EQ(one.low, other.low);
  EXPECT_EQ(one.high, other.high);
}

}  // namespace
}  // namespace slacker::hellobench
