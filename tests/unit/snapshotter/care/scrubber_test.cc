#include "snapshotter/care/scrubber.h"

#include <unistd.h>

#include <fstream>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

class ScrubberTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeBigLayer(30, 1)});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    layer_ = LayersOf(image_.chain()).at(0);
  }
  void TearDown() override {
    scrubber_.reset();
    NodeTest::TearDown();
  }
  // One whose thread does nothing: only ScrubNow.
  void MakeScrubber() {
    Scrubber::Options options;
    options.db = db_.get();
    options.filler = filler_.get();
    options.activity = [] { return 0; };
    options.idle = std::chrono::hours(1);
    scrubber_ = std::make_unique<Scrubber>(std::move(options));
  }
  static bool Never() { return false; }
  void StartScrubber(uint64_t bytes_per_second = 1ULL << 40) {
    Scrubber::Options options;
    options.db = db_.get();
    options.filler = filler_.get();
    options.activity = [] { return 0; };
    options.idle = options.pause = std::chrono::milliseconds(1);
    options.bytes_per_second = bytes_per_second;
    scrubber_ = std::make_unique<Scrubber>(std::move(options));
  }
  void FillAndFlush() {
    EXPECT_TRUE(testing::Eventually([&] {
      EXPECT_OK(Read(layer_.id, 0, static_cast<uint32_t>(layer_.size_bytes)));
      return filler_->IsComplete(layer_);
    }));
    ASSERT_OK(filler_->Flush());
  }
  void Damage(std::streamoff at) {
    std::fstream data(dir_ / ("blobs/" + std::to_string(layer_.id) + ".data"),
                      std::ios::in | std::ios::out | std::ios::binary);
    data.seekg(at);
    const auto byte = static_cast<char>(data.get() ^ 1);
    data.seekp(at);
    data.put(byte);
    ASSERT_TRUE(data.good());
  }

  testing::PublishedImage image_;
  BlobRow layer_;
  std::unique_ptr<Scrubber> scrubber_;
};

TEST_F(ScrubberTest, WhatIsSoundStays) {
  FillAndFlush();
  StartScrubber();
  EXPECT_TRUE(testing::Eventually([&] { return scrubber_->Stats().rounds >= 2; }));
  EXPECT_EQ(scrubber_->Stats().damaged, 0U);
  EXPECT_GE(scrubber_->Stats().bytes, 2 * 30 * 4096U);
  EXPECT_TRUE(filler_->IsComplete(layer_));
}

// Its space comes back when the last one lets go of it.
TEST_F(ScrubberTest, ARemovedCacheIsLetGoInTheMiddle) {
  FillAndFlush();
  const std::weak_ptr<LayerBlob> blob = *filler_->Find(layer_.id);
  StartScrubber(layer_.size_bytes / 120);  // it would take two minutes
  EXPECT_TRUE(testing::Eventually([&] { return scrubber_->Stats().bytes > 0; }));
  ASSERT_OK(filler_->Remove(layer_.id));
  EXPECT_TRUE(testing::Eventually([&] { return blob.expired(); }));
}

TEST_F(ScrubberTest, ADamagedChunkIsDroppedAndReadRightFromTheStore) {
  FillAndFlush();
  Damage(50'000);
  StartScrubber();
  EXPECT_TRUE(testing::Eventually([&] { return scrubber_->Stats().damaged == 1; }));
  EXPECT_FALSE(filler_->IsComplete(layer_));
  ASSERT_OK_AND_ASSIGN(const std::string content,
                       Read(layer_.id, 0, static_cast<uint32_t>(layer_.size_bytes)));
  EXPECT_TRUE(content == image_.BlobContent(0));
  EXPECT_TRUE(testing::Eventually([&] { return filler_->IsComplete(layer_); }));
  const uint64_t rounds = scrubber_->Stats().rounds;
  EXPECT_TRUE(testing::Eventually([&] { return scrubber_->Stats().rounds >= rounds + 2; }));
  EXPECT_EQ(scrubber_->Stats().damaged, 1U) << "it was written again in place";
}

TEST_F(ScrubberTest, WhatIsNotInTheCacheIsNotLookedAt) {
  ASSERT_OK(Read(layer_.id, 0, 4096));
  StartScrubber();
  EXPECT_TRUE(testing::Eventually([&] { return scrubber_->Stats().rounds >= 2; }));
  EXPECT_EQ(scrubber_->Stats().damaged, 0U);
  EXPECT_LE(scrubber_->Stats().chunks, scrubber_->Stats().rounds + 1);
}

TEST_F(ScrubberTest, OnDemandADamagedChunkIsRepairedAtOnce) {
  FillAndFlush();
  Damage(50'000);
  MakeScrubber();
  ScrubbedBlob found = scrubber_->ScrubNow(layer_, Never);
  EXPECT_OK(found.status);
  EXPECT_EQ(found.chunks, image_.layers[0].layer.chunks.size());
  EXPECT_EQ(found.damaged, 1U);
  EXPECT_EQ(found.repaired, 1U);
  EXPECT_TRUE(testing::Eventually([&] { return filler_->IsComplete(layer_); }));
  found = scrubber_->ScrubNow(layer_, Never);
  EXPECT_OK(found.status);
  EXPECT_EQ(found.damaged, 0U);
}

TEST_F(ScrubberTest, OnDemandWhatTheStoreDoesNotHaveEitherIsSaid) {
  FillAndFlush();
  Damage(50'000);
  faulty_->SetReadFilter([](std::string_view name, uint64_t, std::string* bytes) {
    if (name.starts_with("packs/")) bytes->clear();
  });
  MakeScrubber();
  const ScrubbedBlob found = scrubber_->ScrubNow(layer_, Never);
  EXPECT_THAT(found.status, testing::StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(found.damaged, 1U);
  EXPECT_EQ(found.repaired, 0U);
}

TEST_F(ScrubberTest, OnDemandWhatTheCacheDoesNotTakeIsNotSaidToBeRepaired) {
  FillAndFlush();
  const std::string data = dir_ / ("blobs/" + std::to_string(layer_.id) + ".data");
  ASSERT_EQ(truncate(data.c_str(), 40'960), 0);
  MakeScrubber();
  const ScrubbedBlob found = scrubber_->ScrubNow(layer_, Never);
  EXPECT_THAT(found.status, testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_GT(found.damaged, 0U);
  EXPECT_EQ(found.repaired, 0U);
}

TEST_F(ScrubberTest, OnDemandItEndsWhenNobodyWaitsForIt) {
  FillAndFlush();
  Damage(50'000);
  store_->HoldReads();
  MakeScrubber();
  int asked = 0;
  const ScrubbedBlob found = scrubber_->ScrubNow(layer_, [&] { return ++asked > 60; });
  EXPECT_THAT(found.status, testing::StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(found.damaged, 1U) << "it waited for the store";
}

}  // namespace
}  // namespace slacker
