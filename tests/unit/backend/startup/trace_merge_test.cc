#include "backend/startup/trace_merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Digest kChain = Sha256::Of("chain");

StartTrace Trace(std::vector<TraceRange> ranges, uint32_t starts = 1) {
  return {kChain, {Sha256::Of("bottom"), Sha256::Of("top")}, starts, std::move(ranges)};
}

// Chunks of 16 KiB, but the last one, which has five bytes.
Layer FourChunks() {
  Layer layer;
  for (uint32_t i = 0; i < 4; ++i) {
    layer.chunks.push_back({{}, i, i == 3 ? 5U : 16384U, uint64_t{i} * 16384});
  }
  return layer;
}

MATCHER_P3(IsRun, layer, first, count, "") {
  return arg.layer == static_cast<uint32_t>(layer) && arg.first == static_cast<uint32_t>(first) &&
         arg.count == static_cast<uint32_t>(count);
}

TEST(TraceMergeTest, KeepsTheOrderOfTheOlderAndAddsWhatIsNew) {
  const StartTrace merged =
      MergeTraces(Trace({{1, 4, 4, 1}, {0, 0, 1, 1}}), Trace({{0, 0, 2, 1}, {1, 6, 4, 1}}));
  EXPECT_EQ(merged.starts, 2U);
  EXPECT_THAT(merged.ranges,
              ElementsAre(TraceRange{1, 4, 2, 1}, TraceRange{1, 6, 2, 2}, TraceRange{0, 0, 1, 2},
                          TraceRange{0, 1, 1, 1}, TraceRange{1, 8, 2, 1}));
  EXPECT_OK(EncodeTrace(merged));
}

TEST(TraceMergeTest, NothingMergedWithATraceIsThatTrace) {
  const StartTrace trace = Trace({{1, 4, 4, 1}, {0, 0, 1, 1}});
  const StartTrace merged = MergeTraces(Trace({}, 0), trace);
  EXPECT_EQ(merged.starts, 1U);
  EXPECT_EQ(merged.ranges, trace.ranges);
}

TEST(TraceMergeTest, WhatIsReadSeldomIsNotUsualAndInTheEndForgotten) {
  StartTrace merged = Trace({{0, 0, 1, 1}, {0, 100, 1, 1}});
  const StartTrace usual = Trace({{0, 0, 1, 1}});
  for (int i = 0; i < 3; ++i) merged = MergeTraces(merged, usual);
  EXPECT_THAT(UsualRanges(merged), ElementsAre(TraceRange{0, 0, 1, 4}, TraceRange{0, 100, 1, 1}));
  merged = MergeTraces(merged, usual);
  EXPECT_THAT(UsualRanges(merged), ElementsAre(TraceRange{0, 0, 1, 5}));
  EXPECT_EQ(merged.ranges.size(), 2U);
  for (uint32_t i = merged.starts; i <= kRememberedStarts; ++i) merged = MergeTraces(merged, usual);
  EXPECT_LE(merged.starts, kRememberedStarts);
  EXPECT_THAT(merged.ranges, ElementsAre(TraceRange{0, 0, 1, merged.starts}));
}

TEST(TraceMergeTest, ItStaysWithinWhatATraceMayHave) {
  const auto half = static_cast<uint32_t>(kMaxTracePages / 2);
  const StartTrace base = Trace({{0, 0, half + 10, 1}});
  const StartTrace merged = MergeTraces(base, Trace({{1, 0, half + 10, 1}, {0, 5, 1, 1}}));
  EXPECT_EQ(PagesOf(merged), kMaxTracePages);
  EXPECT_EQ(merged.ranges[1], (TraceRange{0, 5, 1, 2})) << "what is read often stays";
  EXPECT_OK(EncodeTrace(merged));
}

TEST(TraceMergeTest, PagesBecomeTheChunksThatHaveThemOnceAndInOrder) {
  const Layer bottom = FourChunks(), top = FourChunks();
  const Layer* const layers[] = {&bottom, &top};
  const StartTrace trace = Trace({{1, 7, 2, 1}, {0, 12, 1, 1}, {1, 0, 1, 1}, {1, 5, 1, 1}});
  EXPECT_THAT(ChunksOfTrace(trace, layers, 1 << 20),
              ElementsAre(IsRun(1, 1, 2), IsRun(0, 3, 1), IsRun(1, 0, 1)));
}

TEST(TraceMergeTest, PagesThatThereAreNotMeanNothing) {
  const Layer bottom = FourChunks(), top;
  const Layer* const layers[] = {&bottom, &top};
  EXPECT_THAT(
      ChunksOfTrace(Trace({{0, 13, 100, 1}, {1, 0, 5, 1}, {1, 0xfffffff0, 1, 1}}), layers, 1 << 20),
      IsEmpty());
  const Layer* const one[] = {&bottom};
  EXPECT_THAT(ChunksOfTrace(Trace({{1, 0, 5, 1}}), one, 1 << 20), IsEmpty());
}

TEST(TraceMergeTest, NoMoreChunksThanAskedFor) {
  const Layer bottom = FourChunks();
  const Layer* const layers[] = {&bottom};
  const StartTrace trace = Trace({{0, 0, 13, 1}});
  EXPECT_THAT(ChunksOfTrace(trace, layers, 2 * 16384), ElementsAre(IsRun(0, 0, 2)));
  EXPECT_THAT(ChunksOfTrace(trace, layers, 2 * 16384 - 1), ElementsAre(IsRun(0, 0, 1)));
  EXPECT_THAT(ChunksOfTrace(trace, layers, 0), IsEmpty());
}

TEST(TraceMergeTest, TheLargestTraceHasAllOfItsPagesInThePack) {
  const auto most = static_cast<uint32_t>(kMaxTracePages);
  Layer layer;
  layer.blob_size_bytes = (kMaxTracePages + 1) * kTracePageBytes;
  const Layer* const layers[] = {&layer};
  EXPECT_THAT(PagesOfTrace(Trace({{0, 1, most, 1}}), layers), ElementsAre(IsRun(0, 1, most)));
  EXPECT_THAT(PagesOfTrace(Trace({{0, 3, most, 1}}), layers), ElementsAre(IsRun(0, 3, most - 2)))
      << "what is behind the end of the blob means nothing";
}

}  // namespace
}  // namespace slacker
