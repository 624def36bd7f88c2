#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmd/hellobench/report/model.h"
#include "tests/unit/cmd/hellobench/sample_result.h"

namespace slacker::hellobench {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ReportModelTest, RepetitionsAreGroupedAndConditionsKeptApart) {
  Result other_link = Ready("slacker", "redis", 7);
  other_link.setup.link = "loopback";
  Result of_store = Ready("slacker", "redis", 9);
  of_store.setup.store = "nfs";
  const Model model({Ready("slacker", "redis", 1), Ready("overlayfs", "redis", 5), other_link,
                     of_store, Ready("slacker", "redis", 3), Ready("slacker", "debian", 2)});
  ASSERT_EQ(model.groups().size(), 2u);
  EXPECT_EQ(model.groups()[0].conditions.link, "loopback");  // before other links
  const Group& group = model.groups()[1];
  EXPECT_THAT(group.systems, ElementsAre("overlayfs", "slacker", "slacker/nfs"));
  EXPECT_THAT(group.images, ElementsAre("debian", "redis"));
  EXPECT_THAT(group.Medians("slacker", TotalMs), ElementsAre(Pair("debian", 2), Pair("redis", 2)));
  EXPECT_THAT(group.CommonImages(), ElementsAre("redis"));
  EXPECT_EQ(group.Find("slacker", "redis")->count(), 2);
  EXPECT_EQ(group.Find("overlayfs", "debian"), nullptr);
}

TEST(ReportModelTest, ImagesAreInThePapersOrderOfCategories) {
  Result distro = Ready("slacker", "z", 1), database = Ready("slacker", "y", 1);
  distro.setup.category = "distro";
  database.setup.category = "database";
  Result own = Ready("slacker", "a", 1);
  own.setup.category = "games";
  const Model model({own, Ready("slacker", "x", 1), database, distro});
  EXPECT_THAT(model.groups()[0].images, ElementsAre("z", "y", "x", "a"));
}

TEST(ReportModelTest, FailedRunsCountAndHaveNoFigures) {
  Result reached = FailedRun("slacker", "redis", "not ready");
  reached.phases.pull_ms = reached.phases.total_ms = 1000;
  const Model model(
      {Ready("slacker", "redis", 4), reached, FailedRun("slacker", "gone", "no image")});
  EXPECT_EQ(model.runs(), 3);
  EXPECT_EQ(model.failed(), 2);
  const Group& group = model.groups()[0];
  EXPECT_EQ(group.Find("slacker", "redis")->Failed(), 1);
  EXPECT_THAT(group.Find("slacker", "redis")->Values(TotalMs), ElementsAre(4));
  EXPECT_EQ(group.Find("slacker", "gone")->MedianOf(TotalMs), std::nullopt);
}

TEST(ReportModelTest, SpeedUpsAreOfImagesThatBothHave) {
  EXPECT_THAT(SpeedUps({{"a", 10}, {"b", 10}, {"c", 10}}, {{"b", 5}, {"c", 20}, {"d", 1}}),
              ElementsAre(Pair("b", 2), Pair("c", 0.5)));
  EXPECT_THAT(SpeedUps({{"a", 10}}, {{"a", 0}}), IsEmpty());
}

TEST(ReportModelTest, ADevelopmentCycleHasItsPreparationWhichIsMeasuredOnce) {
  Result first = Ready("slacker", "redis", 10);
  first.phases.prepare_ms = 100;
  Result crowd = Ready("slacker", "redis", 30);
  crowd.setup.nodes = 8;
  Result elsewhere = Ready("slacker", "redis", 20);
  elsewhere.setup.link = "loopback";
  elsewhere.phases.prepare_ms = 7;
  Result third = Ready("slacker", "redis", 20);
  third.setup.link = "200mbit";
  const Model model({first, Ready("slacker", "redis", 10), crowd, elsewhere, third,
                     Ready("slacker", "debian", 1)});
  ASSERT_EQ(model.groups().size(), 4u);
  const auto of = [&model](size_t group) {
    return model.Development(model.groups()[group], "slacker");
  };
  EXPECT_THAT(of(0), ElementsAre(Pair("redis", 27)));    // loopback
  EXPECT_THAT(of(1), ElementsAre(Pair("redis", 110)));   // 1gbit; debian has none
  EXPECT_THAT(of(2), ElementsAre(Pair("redis", 73.5)));  // 200mbit: what other links took
  EXPECT_THAT(of(3), ElementsAre(Pair("redis", 130)));   // 8 nodes
}

TEST(ReportModelTest, PreparationsAreNoRuns) {
  Result prepared = Ready("slacker", "redis", 1);
  prepared.setup.scenario = "prepare";
  prepared.phases = {};
  prepared.phases.prepare_ms = 5;
  Result failed = prepared;
  failed.setup.image = "broken";
  failed.error = "no space left";
  const Model model({prepared, failed, Ready("slacker", "redis", 10)});
  EXPECT_EQ(model.runs(), 1);
  EXPECT_EQ(model.failed(), 0);
  EXPECT_EQ(model.preparations(), 2);
  EXPECT_EQ(model.failed_preparations(), 1);
  EXPECT_THAT(model.Development(model.groups()[0], "slacker"), ElementsAre(Pair("redis", 15)));
}

TEST(ReportModelTest, OfSeveralAtOnceTheLastOneCountsIfAllGotThere) {
  std::vector<Result> results;
  for (int64_t repetition = 0; repetition < 2; ++repetition) {
    for (int64_t node = 0; node < 2; ++node) {
      Result result = Ready("slacker", "redis", static_cast<double>(10 * repetition + node));
      result.setup.nodes = 2;
      result.repetition = repetition;
      result.node = node;
      results.push_back(result);
    }
  }
  const auto last = [&results] {
    return Model(results).groups()[0].Find("slacker", "redis")->Last(TotalMs);
  };
  EXPECT_THAT(last(), ElementsAre(1, 11));
  results[3].error = "crashed";
  EXPECT_THAT(last(), ElementsAre(1));
}

TEST(ReportModelTest, SessionsHaveTheirFirstAndLastRun) {
  Result later = Ready("slacker", "redis", 1);
  later.time = "2026-11-26T13:00:00Z";
  later.position = 0;
  Result earlier = Ready("slacker", "redis", 1);
  earlier.position = 1;
  const Model model({earlier, later});
  ASSERT_EQ(model.sessions().size(), 1u);
  EXPECT_EQ(model.sessions()[0].first, "2026-11-26T12:00:00Z");
  EXPECT_EQ(model.sessions()[0].last, "2026-11-26T13:00:00Z");
  EXPECT_EQ(model.sessions()[0].results[0].position, 0);
}

const Slower* Find(const std::vector<Slower>& all, const std::string& system,
                   const std::string& measure, const std::string& than) {
  for (const Slower& slower : all) {
    if (slower.system == system && slower.measure == measure && slower.than == than) return &slower;
  }
  return nullptr;
}

TEST(ReportModelTest, WhatIsSlowerIsFoundWorstFirst) {
  const std::vector<Slower> all = FindSlower(
      Model({Ready("overlayfs", "a", 10), Ready("overlayfs", "a", 12), Ready("slacker", "a", 13),
             Ready("slacker", "a", 15), Ready("overlayfs", "b", 10), Ready("slacker", "b", 1),
             Ready("overlayfs", "c", 10), Ready("overlayfs", "c", 20), Ready("slacker", "c", 18),
             Ready("slacker", "c", 72), Ready("stargz", "a", 14)}));
  const Slower* slower = Find(all, "slacker", "start", "overlayfs");
  ASSERT_NE(slower, nullptr);
  EXPECT_EQ(slower->compared, 3);
  ASSERT_EQ(slower->cases.size(), 2u);
  EXPECT_EQ(slower->cases[0].image, "c");
  EXPECT_DOUBLE_EQ(slower->cases[0].ratio, 3);
  EXPECT_FALSE(slower->cases[0].beyond_spread);
  EXPECT_EQ(slower->cases[1].image, "a");
  EXPECT_TRUE(slower->cases[1].beyond_spread);
  EXPECT_THAT(Find(all, "slacker", "start", "stargz")->cases, IsEmpty());
  EXPECT_EQ(Find(all, "overlayfs", "start", "slacker"), nullptr);
  EXPECT_EQ(all.front().system, "slacker");
}

// Whether a system that took five times as long in these runs is clearly slower.
bool IsClearlySlower(const std::vector<Result>& baseline, const std::vector<Result>& slower,
                     const std::string& measure) {
  std::vector<Result> all = baseline;
  all.insert(all.end(), slower.begin(), slower.end());
  const std::vector<Slower> found = FindSlower(Model(all));
  const Slower::Case& one = Find(found, "slacker", measure, "overlayfs")->cases.at(0);
  EXPECT_FALSE(one.single && one.beyond_spread);
  return one.beyond_spread;
}

TEST(ReportModelTest, ClearlySlowerTakesSeveralRunsOfBoth) {
  const Result fast = Ready("overlayfs", "a", 10), slow = Ready("slacker", "a", 50);
  EXPECT_FALSE(IsClearlySlower({fast}, {slow}, "start"));
  EXPECT_FALSE(IsClearlySlower({fast, fast}, {slow}, "start"));
  EXPECT_FALSE(IsClearlySlower({fast}, {slow, slow}, "start"));
  EXPECT_TRUE(IsClearlySlower({fast, fast}, {slow, slow}, "start"));
  EXPECT_FALSE(IsClearlySlower({fast, fast}, {slow, slow, Ready("slacker", "a", 9)}, "start"));
}

TEST(ReportModelTest, ContainersAtOnceAreOneRunAndSoIsAPreparation) {
  std::vector<Result> fast, slow;
  const auto add = [](std::vector<Result>* results, Result result) {
    result.setup.nodes = 2;
    for (result.node = 0; result.node < 2; ++result.node) results->push_back(result);
  };
  add(&fast, Ready("overlayfs", "a", 10));
  add(&slow, Ready("slacker", "a", 50));
  EXPECT_FALSE(IsClearlySlower(fast, slow, "start"));
  for (std::vector<Result>* results : {&fast, &slow}) {
    Result again = results->front();
    again.repetition = 1;
    add(results, again);
  }
  EXPECT_TRUE(IsClearlySlower(fast, slow, "start"));
  for (std::vector<Result>* results : {&fast, &slow}) {
    Result preparation = results->front();
    preparation.setup.scenario = kPreparation;
    preparation.phases = {};
    preparation.phases.prepare_ms = 1;
    results->push_back(preparation);
  }
  EXPECT_FALSE(IsClearlySlower(fast, slow, "publication and start"));
  fast.push_back(fast.back());
  slow.push_back(slow.back());
  EXPECT_TRUE(IsClearlySlower(fast, slow, "publication and start"));
}

TEST(ReportModelTest, SnapshottersAreNotComparedWithThemselves) {
  Result nfs = Ready("slacker", "a", 2);
  nfs.setup.store = "nfs";
  EXPECT_THAT(FindSlower(Model({Ready("slacker", "a", 1), nfs})), IsEmpty());
}

TEST(ReportModelTest, OfRatesLessIsSlowerAndOfOtherFiguresNothingIs) {
  Result fast = Ready("overlayfs", "a", 1), slow = Ready("slacker", "a", 1);
  fast.figures = {{"throughput", 200, "requests/s"}, {"size", 1, "bytes"}, {"first", 1, "ms"}};
  slow.figures = {{"throughput", 100, "requests/s"}, {"size", 9, "bytes"}, {"first", 3, "ms"}};
  const std::vector<Slower> all = FindSlower(Model({fast, slow}));
  EXPECT_DOUBLE_EQ(Find(all, "slacker", "throughput", "overlayfs")->cases.at(0).ratio, 2);
  EXPECT_DOUBLE_EQ(Find(all, "slacker", "first", "overlayfs")->cases.at(0).ratio, 3);
  EXPECT_EQ(Find(all, "slacker", "size", "overlayfs"), nullptr);
}

TEST(ReportModelTest, AMeasureThatOneSideLacksIsZeroForNobody) {
  Result with = Ready("overlayfs", "a", 1);
  with.traffic.registry_requests = 3;
  with.daemons = {{"containerd", 0.5, 10}, {"snapshotter", 0.25, 20}};
  EXPECT_EQ(Requests(with), 3);
  EXPECT_EQ(CpuSeconds(with), 0.75);
  EXPECT_EQ(PeakRssBytes(with), 30);
  EXPECT_EQ(Requests(Ready("overlayfs", "a", 1)), std::nullopt);
  EXPECT_EQ(CpuSeconds(Ready("overlayfs", "a", 1)), std::nullopt);
  EXPECT_EQ(ReceivedPercent(with), std::nullopt);
}

TEST(ReportModelTest, RequestsOfAStoreThatDoesNotCountThemAreNotTheRegistrysAlone) {
  Result result = Ready("slacker", "a", 1);
  result.setup.store = "nfs";
  result.traffic.registry_requests = 3;
  EXPECT_EQ(Requests(result), std::nullopt);
  result.traffic.store_requests = 40;
  EXPECT_EQ(Requests(result), 43);
}

}  // namespace
}  // namespace slacker::hellobench
