// Starts watched on a node: from the first attachment of an image to its trace.
#include "snapshotter/boot/start_traces.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using testing::StatusIs;

class StartTracesTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    OpenTraces();
    NodeTest::SetUp();
    image_ = testing::Publish(store_, {testing::MakeBigLayer(40, 1), testing::MakeBigLayer(40, 2)});
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
  }
  void TearDown() override {
    StopNode();
    traces_.reset();
    NodeTest::TearDown();
  }
  void OpenTraces() {
    StartTraces::Options options;
    options.directory = dir_ / "traces";
    options.clock = &clock_;
    options.on_trace = [this](const StartTrace& trace) {
      MutexLock lock(&mutex_);
      told_.push_back(trace);
    };
    auto traces = StartTraces::Open(std::move(options));
    ASSERT_OK(traces);
    traces_ = *std::move(traces);
    observer_ = traces_.get();
    start_traces_ = traces_.get();
  }
  void RestartAll() {
    StopNode();
    traces_.reset();
    OpenTraces();
    StartNode();
  }

  void ReadPage(size_t layer, uint64_t page) {
    ASSERT_OK(Read(LayersOf(image_.chain())[layer].id, page * kTracePageBytes, kTracePageBytes));
  }
  void WaitForTraces(size_t count) {
    EXPECT_TRUE(testing::Eventually([&] {
      MutexLock lock(&mutex_);
      return told_.size() == count;
    }));
  }

  testing::PublishedImage image_;
  std::unique_ptr<StartTraces> traces_;
  Mutex mutex_;
  std::vector<StartTrace> told_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(StartTracesTest, TheFirstStartOfAnImageIsKeptWhenItIsQuiet) {
  ASSERT_OK(images_->Attach(image_.chain()));
  ReadPage(1, 5);
  ReadPage(0, 3);
  clock_.Advance(std::chrono::seconds(9));
  ReadPage(1, 6);
  clock_.Advance(std::chrono::seconds(9));
  EXPECT_EQ(traces_->watched_for_test(), 1U) << "not quiet for long enough";
  clock_.Advance(std::chrono::seconds(1));
  WaitForTraces(1);
  ASSERT_OK_AND_ASSIGN(const StartTrace trace, ReadNodeTrace(dir_.path(), image_.chain()));
  EXPECT_THAT(trace.ranges,
              ElementsAre(TraceRange{1, 5, 1, 1}, TraceRange{0, 3, 1, 1}, TraceRange{1, 6, 1, 1}));
  EXPECT_EQ(trace.records[1], image_.manifest[1].record);
  EXPECT_EQ(traces_->watched_for_test(), 0U);
}

TEST_F(StartTracesTest, ABusyOneEndsAfterHalfAMinute) {
  ASSERT_OK(images_->Attach(image_.chain()));
  for (uint64_t i = 0; i < 6; ++i) {
    ReadPage(0, i);
    clock_.Advance(std::chrono::seconds(5));
  }
  WaitForTraces(1);
  ReadPage(0, 30);
  EXPECT_EQ(PagesOf(*ReadNodeTrace(dir_.path(), image_.chain())), 6U);
}

TEST_F(StartTracesTest, TimeBeginsWithTheFirstRead) {
  ASSERT_OK(images_->Attach(image_.chain()));
  clock_.Advance(std::chrono::hours(1));
  ReadPage(0, 0);
  clock_.Advance(std::chrono::seconds(10));
  WaitForTraces(1);
}

TEST_F(StartTracesTest, LaterStartsAreNotWatchedNotEvenAfterARestart) {
  ASSERT_OK(images_->Attach(image_.chain()));
  ReadPage(0, 0);
  clock_.Advance(std::chrono::seconds(10));
  WaitForTraces(1);
  ASSERT_OK(mounter_.Detach(dir_ / "snapshots/i1/fs"));
  ASSERT_OK(images_->Attach(image_.chain()));
  EXPECT_EQ(traces_->watched_for_test(), 0U);
  ASSERT_OK(mounter_.Detach(dir_ / "snapshots/i1/fs"));
  RestartAll();
  ASSERT_OK(images_->Attach(image_.chain()));
  EXPECT_EQ(traces_->watched_for_test(), 0U);
}

TEST_F(StartTracesTest, WhatWasMountedBeforeIsNotAStart) {
  ASSERT_OK(images_->Attach(image_.chain()));
  RestartAll();
  images_->WaitForBackgroundForTest();
  EXPECT_EQ(traces_->watched_for_test(), 0U);
  ASSERT_OK(images_->Attach(image_.chain()));
  EXPECT_EQ(traces_->watched_for_test(), 0U);
}

TEST_F(StartTracesTest, ATraceGoesWithItsImage) {
  ASSERT_OK(images_->Attach(image_.chain()));
  ReadPage(0, 0);
  clock_.Advance(std::chrono::seconds(10));
  WaitForTraces(1);
  ASSERT_OK(images_->Collect());
  EXPECT_THAT(ReadNodeTrace(dir_.path(), image_.chain()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(StartTracesTest, AStartUnderWayIsForgottenWithItsImage) {
  ASSERT_OK(images_->Attach(image_.chain()));
  ReadPage(0, 0);
  ASSERT_OK(images_->Collect());
  EXPECT_EQ(traces_->watched_for_test(), 0U);
}

TEST_F(StartTracesTest, FilesOfNoImageGoAtTheStart) {
  const std::string gone = Sha256::Of("gone").ToHex();
  const std::string ours[] = {gone, gone + ".new", image_.chain().ToHex() + ".new"};
  const std::string others[] = {"x.new", "notes", gone + ".txt"};
  for (const std::string& name : ours) std::ofstream(dir_ / "traces/" + name) << "whatever";
  for (const std::string& name : others) std::ofstream(dir_ / "traces/" + name) << "precious";
  RestartAll();
  for (const std::string& name : ours)
    EXPECT_FALSE(std::filesystem::exists(dir_ / "traces/" + name)) << name;
  for (const std::string& name : others)
    EXPECT_TRUE(std::filesystem::exists(dir_ / "traces/" + name)) << name;
}

TEST_F(StartTracesTest, ATraceThatIsDamagedOnTheNodeIsToldAsSuch) {
  std::ofstream(dir_ / "traces/" + image_.chain().ToHex()) << "whatever";
  EXPECT_THAT(ReadNodeTrace(dir_.path(), image_.chain()), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace slacker
