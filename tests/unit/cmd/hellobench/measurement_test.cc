#include "cmd/hellobench/plan/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cmd/hellobench/plan/machine.h"
#include "cmd/hellobench/plan/scenarios.h"
#include "cmd/hellobench/plan/schedule.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cmd/hellobench/fake_site.h"
#include "tests/unit/cmd/hellobench/local_server.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::FakeClock;
using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace fs = std::filesystem;

const System kOverlayfs{"overlayfs", ""};
const System kSlacker{"slacker", "nfs"};

TEST(ScheduleTest, EveryRoundHasEveryPairOnceAndAnImagesSystemsFollowEachOther) {
  const std::vector<Slot> slots = MakeSchedule(5, {kOverlayfs, kSlacker}, 3, 42);
  ASSERT_THAT(slots, SizeIs(30));
  for (size_t at = 0; at < slots.size(); at += 2) {
    EXPECT_EQ(slots[at].image, slots[at + 1].image);
    EXPECT_NE(slots[at].system, slots[at + 1].system);
    EXPECT_EQ(slots[at].repetition, static_cast<int64_t>(at / 10));
  }
  for (size_t round = 0; round < 3; ++round) {
    std::set<size_t> images;
    for (size_t at = 0; at < 10; ++at) images.insert(slots[round * 10 + at].image);
    EXPECT_THAT(images, SizeIs(5));
  }
}

TEST(ScheduleTest, TheSeedMakesTheOrder) {
  const auto order = [](uint64_t seed) {
    return MakeSchedule(20, {kOverlayfs, kSlacker}, 2, seed);
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
  std::vector<size_t> first, second;
  for (size_t at = 0; at < 40; ++at) first.push_back(order(1)[at].image);
  for (size_t at = 40; at < 80; ++at) second.push_back(order(1)[at].image);
  EXPECT_NE(first, second) << "rounds are in different orders";
}

TEST(MachineTest, TellsWhatTheKernelKnows) {
  const Machine machine = ThisMachine();
  EXPECT_GE(machine.cpus, 1);
  EXPECT_GT(machine.memory_bytes, 0);
  EXPECT_FALSE(machine.kernel.empty());
  EXPECT_FALSE(machine.os.empty());
}

class MeasurementTest : public ::testing::Test {
 protected:
  MeasurementTest() {
    fs::create_directory(dir_ / "tmp");
    (void)setenv("TMPDIR", (dir_ / "tmp").c_str(), 1);
    for (const char* name : {"one", "two"}) {
      Image image;
      image.name = name;
      image.category = Category::kDatabase;
      image.kind = Kind::kLine;
      image.task.image = "docker.io/library/" + image.name;
      image.task.ready = ReadyLine{"hello"};
      images_.push_back(image);
    }
    hooks_.take = [this](const Result& result) {
      results_.push_back(result);
      return absl::OkStatus();
    };
    session_.id = "s";
    options_.links = {{.name = "1gbit", .mbit = 1000}};
    options_.repetitions = 2;
  }
  ~MeasurementTest() override { (void)unsetenv("TMPDIR"); }

  absl::Status MeasureIt() {
    return Measure(site_, images_, {kOverlayfs, kSlacker}, session_, options_, clock_, hooks_);
  }
  std::vector<Result> OfScenario(const std::string& scenario) const {
    std::vector<Result> found;
    std::copy_if(results_.begin(), results_.end(), std::back_inserter(found),
                 [&](const Result& result) { return result.setup.scenario == scenario; });
    return found;
  }
  std::vector<std::string> Errors() const {
    std::vector<std::string> errors;
    for (const Result& result : OfScenario("start")) errors.push_back(result.error);
    return errors;
  }

  TempDir dir_;
  FakeSite site_{dir_.path()};
  FakeClock clock_;
  std::vector<Image> images_;
  Session session_;
  MeasureOptions options_;
  MeasureHooks hooks_;
  std::vector<Result> results_;
};

TEST_F(MeasurementTest, EveryPreparationAndEveryRunIsAResult) {
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(OfScenario("prepare"), SizeIs(4));
  const std::vector<Result> runs = OfScenario("start");
  ASSERT_THAT(runs, SizeIs(8));
  for (size_t at = 0; at < runs.size(); ++at) {
    const Result& run = runs[at];
    EXPECT_EQ(run.error, "");
    EXPECT_EQ(run.session.id, "s");
    EXPECT_EQ(run.position, static_cast<int64_t>(at));
    EXPECT_EQ(run.repetition, static_cast<int64_t>(at / 4));
    EXPECT_EQ(run.setup.category, "database");
    EXPECT_EQ(run.setup.kind, "W");
    EXPECT_EQ(run.setup.link, "1gbit");
    EXPECT_EQ(run.setup.server_cache, "dropped");
    EXPECT_EQ(run.setup.store, run.setup.snapshotter == "slacker" ? "nfs" : "");
    EXPECT_EQ(run.image_bytes, 1000);
    EXPECT_EQ(run.image_layers, 3);
    EXPECT_GE(run.phases.total_ms.value_or(0),
              *run.phases.pull_ms + *run.phases.create_ms + *run.phases.ready_ms);
    EXPECT_GT(run.phases.second_ms.value_or(0), 0);
    EXPECT_EQ(run.traffic.received_bytes, 1000);
    EXPECT_EQ(run.traffic.sent_bytes, std::nullopt) << "it was not counted";
    EXPECT_EQ(run.disk_bytes, 500);
    EXPECT_THAT(run.daemons, ElementsAre(DaemonUse{"containerd", 0.5, 1 << 20}));
  }
  EXPECT_EQ(site_.alive, 0);
  EXPECT_EQ(site_.most_alive, 1) << "a node for each run";
  EXPECT_TRUE(fs::is_empty(dir_ / "tmp"));
}

TEST_F(MeasurementTest, ServersThatAreToBeWarmAreReadAgainOnceEveryNodeIsCold) {
  options_.start.drop_server_cache = false;
  options_.start.nodes = 2;
  options_.start.second = false;
  options_.repetitions = 1;
  images_.pop_back();
  site_.on_node = [this](FakeCri& cri) {
    cri.OnStart([this](const auto&) { site_.Note("started"); });
  };
  ASSERT_OK(MeasureIt());
  const std::vector<std::string> one = {"cold", "cold", "warm", "started", "started"};
  std::vector<std::string> expected = {"prepare one overlayfs", "prepare one slacker",
                                       "link 1gbit"};
  for (int times = 0; times < 2; ++times) expected.insert(expected.end(), one.begin(), one.end());
  EXPECT_EQ(site_.events, expected);
  EXPECT_EQ(results_.back().setup.server_cache, "warm");
}

TEST_F(MeasurementTest, ServersThatDoNotGetWarmAreNotMeasured) {
  options_.start.drop_server_cache = false;
  site_.warm = FailedPrecondition("too little memory");
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(Errors(), Each(HasSubstr("too little memory")));
}

TEST_F(MeasurementTest, AllNodesAreColdBeforeAnyPulls) {
  options_.start.nodes = 3;
  options_.at_once = {2};
  options_.start.second = false;
  options_.repetitions = 1;
  images_.pop_back();
  site_.on_node = [this](FakeCri& cri) {
    cri.OnStart([this](const auto&) { site_.Note("started"); });
  };
  ASSERT_OK(MeasureIt());
  const std::vector<Result> runs = OfScenario("start");
  ASSERT_THAT(runs, SizeIs(12));
  for (size_t at = 0; at < runs.size(); ++at) {
    EXPECT_EQ(runs[at].error, "");
    EXPECT_EQ(runs[at].node, static_cast<int64_t>(at % 6 / 2));
    EXPECT_EQ(runs[at].container, static_cast<int64_t>(at % 2));
    // A node's counters are in its first container's result.
    EXPECT_EQ(runs[at].traffic.received_bytes.has_value(), at % 2 == 0);
    EXPECT_EQ(runs[at].phases.second_ms, std::nullopt);
  }
  EXPECT_EQ(site_.most_alive, 3);
  // Of each of the two systems: dropped, three nodes found cold, and only then six starts.
  const std::vector<std::string> one = {"drop",    "cold",    "cold",    "cold",    "started",
                                        "started", "started", "started", "started", "started"};
  std::vector<std::string> expected = {"prepare one overlayfs", "prepare one slacker",
                                       "link 1gbit"};
  for (int times = 0; times < 2; ++times) expected.insert(expected.end(), one.begin(), one.end());
  EXPECT_EQ(site_.events, expected);
}

TEST_F(MeasurementTest, LinksFollowEachOtherAndWhatIsPreparedServesAll) {
  options_.links = {{.name = "1gbit", .mbit = 1000}, {.name = "200mbit", .mbit = 200}};
  MeasureProgress last;
  hooks_.progress = [&](const MeasureProgress& progress) { last = progress; };
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(OfScenario("prepare"), SizeIs(4));
  const std::vector<Result> runs = OfScenario("start");
  ASSERT_THAT(runs, SizeIs(16));
  for (size_t at = 0; at < runs.size(); ++at) {
    EXPECT_EQ(runs[at].error, "");
    EXPECT_EQ(runs[at].setup.link, at < 8 ? "1gbit" : "200mbit");
    EXPECT_EQ(runs[at].position, static_cast<int64_t>(at));
  }
  EXPECT_EQ(last.total, 20u);
  EXPECT_EQ(last.done, 19u);
  std::vector<std::string> set;
  std::copy_if(site_.events.begin(), site_.events.end(), std::back_inserter(set),
               [](const std::string& event) { return event.starts_with("link"); });
  EXPECT_THAT(set, ElementsAre("link 1gbit", "link 200mbit"));
}

TEST_F(MeasurementTest, NumbersAtOnceFollowEachOtherAndWhatIsPreparedServesAll) {
  options_.at_once = {1, 3};
  options_.repetitions = 1;
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(OfScenario("prepare"), SizeIs(4));
  const std::vector<Result> runs = OfScenario("start");
  ASSERT_THAT(runs, SizeIs(4 + 12));
  for (size_t at = 0; at < runs.size(); ++at) {
    EXPECT_EQ(runs[at].error, "");
    EXPECT_EQ(runs[at].setup.at_once, at < 4 ? 1 : 3);
    EXPECT_EQ(runs[at].position, static_cast<int64_t>(at < 4 ? at : 4 + (at - 4) / 3));
  }
}

TEST_F(MeasurementTest, ALoadsThroughputIsAFigure) {
  images_[0].task.load = Load{"work $DURATION", "did", "pieces/s"};
  options_.start.load = std::chrono::seconds(30);
  site_.output = "did 12.5 per second, 3 of them badly\n";
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(site_.events, ::testing::Contains("script DURATION=30\nwork $DURATION"));
  for (const Result& result : OfScenario("start")) {
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.figures, result.setup.image == "one"
                                  ? std::vector<Figure>({{"throughput", 12.5, "pieces/s"}})
                                  : std::vector<Figure>());
  }
}

TEST_F(MeasurementTest, TheFirstReplyIsWhenItsScriptHasEndedAndTheLoadFollows) {
  images_.pop_back();
  images_[0].task.load = Load{"work", "did", "pieces/s", "ask"};
  options_.start.load = std::chrono::seconds(30);
  site_.output = "did 12.5";
  ASSERT_OK(MeasureIt());
  for (const Result& result : OfScenario("start")) {
    EXPECT_EQ(result.error, "");
    ASSERT_THAT(result.figures, SizeIs(2));
    EXPECT_EQ(result.figures[0].name, "first_reply");
    EXPECT_EQ(result.figures[0].unit, "ms");
    EXPECT_GT(result.figures[0].value, result.phases.total_ms);
    EXPECT_EQ(result.figures[1], (Figure{"throughput", 12.5, "pieces/s"}));
  }
  const auto asked = std::find(site_.events.begin(), site_.events.end(), "script ask");
  ASSERT_NE(asked, site_.events.end());
  EXPECT_EQ(*std::next(asked), "script DURATION=30\nwork");
}

TEST_F(MeasurementTest, OfAPortTheFirstReplyIsTheStart) {
  Task task = images_[0].task;
  const uint16_t port = FreePort();
  task.ready = ReadyPort{port};
  task.load = Load{"work", "did", "pieces/s"};
  site_.output = "did 12.5";
  std::unique_ptr<LocalServer> server;
  site_.on_node = [&](FakeCri& cri) {
    cri.SetContainer("", false, 0);
    cri.OnStart([&](const auto&) {
      server = std::make_unique<LocalServer>("HTTP/1.1 200 OK\r\n\r\n", port);
    });
  };
  const std::vector<Result> results =
      StartAll(site_, kOverlayfs, task, {.second = false, .load = std::chrono::seconds(30)});
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].error, "");
  EXPECT_THAT(results[0].figures,
              ElementsAre(Figure{"first_reply", results[0].phases.total_ms.value_or(0), "ms"},
                          Figure{"throughput", 12.5, "pieces/s"}));
}

TEST_F(MeasurementTest, WithoutAFirstReplyTheRunFailsAndNoLoadIsMade) {
  images_.pop_back();
  images_[0].task.load = Load{"work", "did", "pieces/s", "ask"};
  options_.start.load = std::chrono::seconds(30);
  site_.output = Internal("no such server");
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(Errors(), Each(HasSubstr("the first reply: no such server")));
  EXPECT_THAT(site_.events, ::testing::Contains("script ask"));
  EXPECT_THAT(site_.events, ::testing::Not(::testing::Contains("script DURATION=30\nwork")));
  for (const Result& result : OfScenario("start")) EXPECT_THAT(result.figures, IsEmpty());
}

TEST_F(MeasurementTest, FiguresThatAContainerWritesAreItsResults) {
  images_.pop_back();
  site_.on_node = [](FakeCri& cri) {
    cri.SetContainer(
        "t stdout F hello\nt stdout F hellobench-figure open:/d01 0.0125 ms\n"
        "t stdout F hellobench-figure broken x us\nt stderr F hellobench-figure size 3 MB\n",
        true, 0);
  };
  ASSERT_OK(MeasureIt());
  for (const Result& result : OfScenario("start")) {
    EXPECT_THAT(result.figures,
                ElementsAre(Figure{"open:/d01", 0.0125, "ms"}, Figure{"size", 3, "MB"}));
  }
}

TEST(ScenariosTest, EveryOneHasItsImagesInItsCatalogue) {
  Catalogue catalogue;
  ASSERT_OK(catalogue.AddFile(SLACKER_SOURCE_DIR "/cmd/hellobench/catalogue/scenarios.toml"));
  size_t used = 0;
  for (const Scenario& scenario : Scenarios()) {
    for (const std::string& image : scenario.images) EXPECT_OK(catalogue.Find(image));
    used += scenario.images.size();
  }
  EXPECT_EQ(catalogue.images().size(), used);
  ASSERT_OK_AND_ASSIGN(const Scenario* depth, FindScenario("depth"));
  EXPECT_EQ(depth->images, std::vector<std::string>{"depth"});
  EXPECT_THAT(FindScenario("dept"), StatusIs(absl::StatusCode::kInvalidArgument,
                                             "must be one of start, scalability, depth, copy-up"));
}

TEST_F(MeasurementTest, ALoadThatFailsIsAFailure) {
  images_.pop_back();
  images_[0].task.load = Load{"work", "did", "pieces/s"};
  options_.start.load = std::chrono::seconds(1);
  site_.output = "did nothing";
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(Errors(), Each(HasSubstr("did not tell a throughput; it wrote:\ndid nothing")));
  site_.output = Internal("no such program");
  results_.clear();
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(Errors(), Each(HasSubstr("the load: no such program")));
}

TEST_F(MeasurementTest, ARunThatFailsIsAResultAndTheOthersGoOn) {
  int nodes = 0;
  site_.on_node = [&nodes](FakeCri& cri) {
    if (nodes++ == 0) cri.SetContainer("t stdout F oops\n", true, 3);
  };
  ASSERT_OK(MeasureIt());
  const std::vector<std::string> errors = Errors();
  ASSERT_THAT(errors, SizeIs(8));
  EXPECT_THAT(errors[0], HasSubstr("ended with code 3"));
  EXPECT_THAT(std::vector(errors.begin() + 1, errors.end()), Each(IsEmpty()));
  const Result failed = OfScenario("start")[0];
  EXPECT_TRUE(failed.phases.pull_ms.has_value()) << "what it reached";
  EXPECT_EQ(failed.phases.total_ms, std::nullopt);
}

TEST_F(MeasurementTest, OneContainerOfManyThatFailsHoldsUpNobody) {
  options_.at_once = {4};
  options_.repetitions = 1;
  images_.pop_back();
  site_.on_node = [](FakeCri& cri) {
    cri.FailCall("RunPodSandbox", grpc::StatusCode::INTERNAL, 1);
    cri.FailCall("StartContainer", grpc::StatusCode::INTERNAL, 1);
  };
  ASSERT_OK(MeasureIt());
  int failed = 0;
  for (const std::string& error : Errors()) failed += error.empty() ? 0 : 1;
  EXPECT_EQ(failed, 4) << "of each system a sandbox and a container";
}

TEST_F(MeasurementTest, ANodeThatIsNotColdIsNotMeasured) {
  site_.cold = FailedPrecondition("an image is there");
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(Errors(), Each(HasSubstr("an image is there")));
  for (const Result& result : OfScenario("start")) EXPECT_EQ(result.phases, Phases());
}

TEST_F(MeasurementTest, ImagesThatCannotBePreparedAndNodesThatDoNotStartAreResults) {
  site_.unprepared = {"two"};
  site_.broken = {"slacker"};
  ASSERT_OK(MeasureIt());
  int unprepared = 0, broken = 0;
  for (const Result& result : OfScenario("start")) {
    if (result.setup.image == "two") {
      EXPECT_THAT(result.error, HasSubstr("not prepared"));
      ++unprepared;
    } else if (result.setup.snapshotter == "slacker") {
      EXPECT_THAT(result.error, HasSubstr("its daemon ended"));
      ++broken;
    } else {
      EXPECT_EQ(result.error, "");
    }
  }
  EXPECT_EQ(unprepared, 4);
  EXPECT_EQ(broken, 2);
}

TEST_F(MeasurementTest, WhatANodeLeavesBehindIsAFailure) {
  site_.destroyed = Internal("a mount was left");
  ASSERT_OK(MeasureIt());
  EXPECT_THAT(Errors(), Each(HasSubstr("a mount was left")));
}

TEST_F(MeasurementTest, InterruptionEndsItAndEveryNode) {
  std::atomic<bool> interrupted = false;
  options_.start.interrupted = &interrupted;
  site_.on_node = [&](FakeCri& cri) { cri.OnStart([&](const auto&) { interrupted = true; }); };
  EXPECT_THAT(MeasureIt(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(OfScenario("start"), SizeIs(1));
  EXPECT_EQ(site_.alive, 0);
  EXPECT_TRUE(fs::is_empty(dir_ / "tmp"));
}

TEST_F(MeasurementTest, AnInterruptIsNotHeldUpByPulls) {
  std::atomic<bool> interrupted = false;
  options_.start.interrupted = &interrupted;
  options_.start.nodes = 2;
  options_.start.call_limit = std::chrono::hours(1);
  site_.on_node = [&](FakeCri& cri) {
    cri.HoldCall("PullImage", [&interrupted] { interrupted = true; });
  };
  EXPECT_THAT(MeasureIt(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(site_.alive, 0);
  EXPECT_TRUE(fs::is_empty(dir_ / "tmp"));
}

TEST_F(MeasurementTest, AnInterruptBeforeTheStartMakesNoNodeCold) {
  std::atomic<bool> interrupted = false;
  options_.start.interrupted = &interrupted;
  site_.on_node = [&](FakeCri&) { interrupted = true; };
  EXPECT_THAT(MeasureIt(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(site_.events, ::testing::Not(::testing::Contains("drop")));
  EXPECT_THAT(site_.events, ::testing::Not(::testing::Contains("cold")));
}

TEST_F(MeasurementTest, AResultThatCannotBeKeptEndsIt) {
  hooks_.take = [](const Result&) { return ResourceExhausted("disk full"); };
  EXPECT_THAT(MeasureIt(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(MeasurementTest, TimeLeftIsToldByWhatEachSystemTook) {
  std::vector<double> left;
  hooks_.progress = [&](const MeasureProgress& progress) {
    EXPECT_EQ(progress.done, left.size());
    EXPECT_EQ(progress.total, 12U);
    left.push_back(progress.seconds_left);
  };
  hooks_.take = [&](const Result&) {
    clock_.Advance(std::chrono::seconds(10));
    return absl::OkStatus();
  };
  ASSERT_OK(MeasureIt());
  ASSERT_THAT(left, SizeIs(12));
  EXPECT_EQ(left[0], 0) << "nothing is known";
  for (size_t done = 1; done < 12; ++done) {
    EXPECT_NEAR(left[done], 10.0 * static_cast<double>(12 - done), 1e-6);
  }
}

}  // namespace
}  // namespace slacker::hellobench
