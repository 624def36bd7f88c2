#include "snapshotter/boot/start_recording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Digest kChain = Sha256::Of("chain");

std::vector<BlobRow> Layers() {
  std::vector<BlobRow> layers(3);
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i].id = 20 + i;
    layers[i].record = Sha256::Of(std::to_string(i));
    layers[i].size_bytes = 100 * kTracePageBytes;
  }
  return layers;
}

TEST(StartRecordingTest, PagesAreInTheOrderOfTheirFirstRead) {
  StartRecording recording(kChain, Layers());
  EXPECT_TRUE(recording.empty());
  EXPECT_TRUE(recording.Note(21, 8 * kTracePageBytes, 8 * kTracePageBytes));
  EXPECT_TRUE(recording.Note(22, 0, kTracePageBytes));
  EXPECT_TRUE(recording.Note(21, 4 * kTracePageBytes, 8 * kTracePageBytes));
  EXPECT_TRUE(recording.Note(21, 8 * kTracePageBytes, kTracePageBytes));
  EXPECT_THAT(recording.trace().ranges,
              ElementsAre(TraceRange{1, 8, 8, 1}, TraceRange{2, 0, 1, 1}, TraceRange{1, 4, 4, 1}));
  EXPECT_EQ(recording.trace().records.size(), 3U);
  EXPECT_OK(EncodeTrace(recording.trace()));
}

TEST(StartRecordingTest, PartsOfPagesAreThosePages) {
  StartRecording recording(kChain, Layers());
  recording.Note(20, 2 * kTracePageBytes + 1, kTracePageBytes);
  EXPECT_THAT(recording.trace().ranges, ElementsAre(TraceRange{0, 2, 2, 1}));
}

TEST(StartRecordingTest, OtherBlobsAndWhatIsBeyondTheEndAreLeftOut) {
  StartRecording recording(kChain, Layers());
  EXPECT_FALSE(recording.Note(7, 0, kTracePageBytes));
  EXPECT_TRUE(recording.Note(20, 1000 * kTracePageBytes, kTracePageBytes));
  EXPECT_TRUE(recording.Note(20, uint64_t{1} << 60, kTracePageBytes));
  EXPECT_THAT(recording.trace().ranges, IsEmpty());
  EXPECT_TRUE(recording.Note(20, 98 * kTracePageBytes, 10 * kTracePageBytes));
  EXPECT_THAT(recording.trace().ranges, ElementsAre(TraceRange{0, 98, 2, 1}));
}

TEST(StartRecordingTest, ALayerThatTheChainHasTwiceIsOneBlob) {
  std::vector<BlobRow> layers = Layers();
  layers[2] = layers[0];
  StartRecording recording(kChain, layers);
  recording.Note(20, 0, kTracePageBytes);
  EXPECT_THAT(recording.trace().ranges, ElementsAre(TraceRange{0, 0, 1, 1}));
}

TEST(StartRecordingTest, ItEndsWhenATraceIsFull) {
  std::vector<BlobRow> layers = Layers();
  layers[0].size_bytes = 2 * kMaxTracePages * kTracePageBytes;
  StartRecording recording(kChain, layers);
  for (uint64_t page = 0; page < 2 * kMaxTracePages && !recording.IsFull(); page += 256) {
    recording.Note(20, page * kTracePageBytes, 256 * kTracePageBytes);
  }
  EXPECT_TRUE(recording.IsFull());
  EXPECT_EQ(PagesOf(recording.trace()), kMaxTracePages);
  EXPECT_OK(EncodeTrace(recording.trace()));
}

}  // namespace
}  // namespace slacker
