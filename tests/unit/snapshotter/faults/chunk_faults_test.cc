#include "snapshotter/faults/chunk_faults.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace slacker {
namespace {

using std::chrono::seconds;

class ChunkFaultsTest : public ::testing::Test {
 protected:
  bool Note(uint32_t chunk, const std::string& error = "wrong") {
    return faults_.Note(chunk, error, clock_.Monotonic());
  }
  std::optional<ChunkFaults::Report> TakeEnded() { return faults_.TakeEnded(clock_.Monotonic()); }

  testing::FakeClock clock_;
  ChunkFaults faults_;
};

TEST_F(ChunkFaultsTest, WithoutAnyThereIsNothingToTell) {
  faults_.NoteRight(3);
  clock_.Advance(seconds(60));
  EXPECT_FALSE(faults_.Describe().has_value());
  EXPECT_FALSE(TakeEnded().has_value());
  EXPECT_FALSE(faults_.TakeAny().has_value());
}

TEST_F(ChunkFaultsTest, TheFirstBeginsATimeThatTheOthersOnlyCountIn) {
  const auto began = clock_.Monotonic();
  EXPECT_TRUE(Note(3));
  EXPECT_FALSE(Note(3));
  clock_.Advance(seconds(5));
  EXPECT_FALSE(Note(9, "missing"));
  const auto report = faults_.Describe();
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->wrong, 2U);
  EXPECT_EQ(report->chunks, 2U);
  EXPECT_EQ(report->times, 3U);
  EXPECT_EQ(report->since, began);
  EXPECT_EQ(report->error, "missing");
}

TEST_F(ChunkFaultsTest, ItIsOverWhenEachWasRightAndNoneWasFoundForAWhile) {
  (void)Note(3);
  (void)Note(9);
  faults_.NoteRight(3);
  clock_.Advance(seconds(60));
  EXPECT_FALSE(TakeEnded().has_value()) << "9 is wrong still";
  EXPECT_EQ(faults_.Describe()->wrong, 1U);
  (void)Note(9);
  faults_.NoteRight(9);
  clock_.Advance(ChunkFaults::kQuiet - seconds(1));
  EXPECT_FALSE(TakeEnded().has_value()) << "it may go on like this";
  clock_.Advance(seconds(1));
  const auto ended = TakeEnded();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->chunks, 2U);
  EXPECT_EQ(ended->times, 3U);
  EXPECT_FALSE(TakeEnded().has_value()) << "once";
  EXPECT_FALSE(faults_.Describe().has_value());
  EXPECT_TRUE(Note(9)) << "that is another time";
}

TEST_F(ChunkFaultsTest, WhatNobodyReadsAnyMoreIsOver) {
  (void)Note(3);
  EXPECT_EQ(faults_.TakeAny()->wrong, 1U);
  EXPECT_FALSE(faults_.Describe().has_value());
}

}  // namespace
}  // namespace slacker
