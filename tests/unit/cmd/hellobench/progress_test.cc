#include "cmd/hellobench/plan/progress.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>

#include "backend/base/status.h"
#include "cmd/hellobench/plan/results_file.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Result Ready() {
  Result result;
  result.setup.image = "redis";
  result.setup.snapshotter = "slacker";
  result.setup.store = "nfs";
  result.phases = {std::nullopt, 80.2, 20, 130.7, 231.4, std::nullopt};
  return result;
}

TEST(ProgressTest, ARunIsOneLine) {
  Result result = Ready();
  EXPECT_EQ(ToText(result), "redis on slacker/nfs: 231 ms (pull 80, create 20, ready 131)");
  result.setup.store = "";
  result.setup.nodes = 2;
  result.setup.at_once = 8;
  result.node = 1;
  result.container = 7;
  result.phases.second_ms = 95;
  result.traffic.received_bytes = 4'100'000;
  result.figures = {{"throughput", 12.34, "requests/s"}};
  EXPECT_EQ(
      ToText(result),
      "redis on slacker, node 1, container 7: 231 ms (pull 80, create 20, ready 131), again 95 "
      "ms, 4.1 MB received, throughput 12.3 requests/s");
  result.error = "not ready within 3 s";
  EXPECT_EQ(ToText(result), "redis on slacker, node 1, container 7: failed: not ready within 3 s");
}

TEST(ProgressTest, APreparationIsOneLine) {
  Result result = Ready();
  result.phases = Phases();
  result.phases.prepare_ms = 1234;
  EXPECT_EQ(ToText(result), "redis on slacker/nfs: prepared in 1234 ms");
}

TEST(ProgressTest, TimeLeftIsToldInUnitsOfItsSize) {
  const auto left = [](double seconds) {
    return ToText(MeasureProgress{11, 60, seconds, "doing"});
  };
  EXPECT_EQ(left(0), "[12/60] doing");
  EXPECT_EQ(left(42), "[12/60] doing · 42 s left");
  EXPECT_EQ(left(600), "[12/60] doing · 10 min left");
  EXPECT_EQ(left(9000), "[12/60] doing · 2.5 h left");
}

class ProgressDisplayTest : public ::testing::Test {
 protected:
  ~ProgressDisplayTest() override {
    (void)std::fclose(out_);
    (void)std::fclose(err_);
  }
  TempDir dir_;
  std::FILE* out_ = std::fopen((dir_ / "out").c_str(), "w");
  std::FILE* err_ = std::fopen((dir_ / "err").c_str(), "w");
};

TEST_F(ProgressDisplayTest, OnATerminalTheLineOfWhatIsDoneGivesWayToResults) {
  {
    ProgressDisplay display(out_, err_, true);
    display.Show(MeasureProgress{0, 2, 0, "one"});
    display.Show(MeasureProgress{1, 2, 0, "two"});
    display.Show(Ready());
  }
  EXPECT_EQ(testing::ReadFileOrDie(dir_ / "err"), "[1/2] one\r\x1b[K[2/2] two\r\x1b[K");
  EXPECT_EQ(testing::ReadFileOrDie(dir_ / "out"), ToText(Ready()) + "\n");
}

TEST_F(ProgressDisplayTest, ElsewhereThereAreResultsOnly) {
  {
    ProgressDisplay display(out_, err_, false);
    display.Show(MeasureProgress{0, 2, 0, "one"});
    display.Show(Ready());
  }
  EXPECT_EQ(testing::ReadFileOrDie(dir_ / "err"), "");
  EXPECT_EQ(testing::ReadFileOrDie(dir_ / "out"), ToText(Ready()) + "\n");
}

TEST(ResultsFileTest, ResultsAreAddedToThoseThereAre) {
  TempDir dir;
  for (int times = 0; times < 2; ++times) {
    ASSERT_OK_AND_ASSIGN(const auto file, ResultsFile::Open(dir / "r"));
    ASSERT_OK(file->Add(Ready()));
    // While it is open.
    ASSERT_OK_AND_ASSIGN(const auto results, ReadResults(dir / "r"));
    EXPECT_EQ(results.size(), static_cast<size_t>(times) + 1);
    EXPECT_EQ(results.back(), Ready());
  }
}

TEST(ResultsFileTest, OtherFilesAreLeftAlone) {
  TempDir dir;
  testing::WriteFileOrDie(dir / "other", "text\n");
  EXPECT_THAT(ResultsFile::Open(dir / "other"), StatusIs(kInvalid, "other:1: "));
  testing::WriteFileOrDie(dir / "cut", ToLine(Ready()));
  EXPECT_THAT(ResultsFile::Open(dir / "cut"), StatusIs(kInvalid, "its last line has no end"));
  EXPECT_FALSE(ResultsFile::Open(dir / "none/r").ok());
  Result old = Ready();
  old.schema = 1;
  testing::WriteFileOrDie(dir / "old", ToLine(old) + "\n");
  EXPECT_THAT(ResultsFile::Open(dir / "old"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "need a file of their own"));
}

TEST(ResultsFileTest, WhatCannotBeWrittenIsAnError) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto file, ResultsFile::Open(dir / "r"));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  (void)std::signal(SIGXFSZ, SIG_IGN);
  const absl::Status added = file->Add(Ready());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(ErrnoOf(added), EFBIG);
}

}  // namespace
}  // namespace slacker::hellobench
