#include "snapshotter/care/completer.h"

#include <unistd.h>

#include <fstream>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

constexpr auto kSoon = std::chrono::milliseconds(1);

class CompleterTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    testing::SampleLayer lower = testing::MakeBigLayer(600, 1);
    testing::AddSampleFile(&lower, 0, "lower", "seen in the image");
    image_ = testing::Publish(store_, {lower, testing::MakeBigLayer(3, 2)});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    layers_ = LayersOf(image_.chain());
    ASSERT_EQ(layers_.size(), 2U);
  }
  void TearDown() override {
    completer_.reset();
    NodeTest::TearDown();
  }
  void StartCompleter() {
    Completer::Options options;
    options.root = dir_.path();
    options.db = db_.get();
    options.filler = filler_.get();
    options.mounter = &mounter_;
    options.activity = [this] {
      ++looks_;
      return busy_ ? ++activity_ : activity_.load();
    };
    options.idle = kSoon;
    options.rest = kSoon;
    options.room = [this] { return room_.load(); };
    options.bytes_per_second = bytes_per_second_;
    options.verify_bytes_per_second = 1ULL << 40;
    completer_ = std::make_unique<Completer>(std::move(options));
  }
  void Attach() { ASSERT_OK_AND_ASSIGN(tree_, images_->Attach(image_.chain())); }
  bool AllOn(BlobFile file) {
    return std::all_of(layers_.begin(), layers_.end(),
                       [&](const BlobRow& layer) { return mounter_.FileOf(layer.id) == file; });
  }
  void WaitForLooks(uint64_t count) {
    const uint64_t until = looks_ + count;
    EXPECT_TRUE(testing::Eventually([&] { return looks_ >= until; }));
  }
  std::string DataOf(size_t layer) {
    return dir_ / ("blobs/" + std::to_string(layers_[layer].id) + ".data");
  }
  std::string CacheFile(size_t layer) {
    std::ifstream file(DataOf(layer), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Damage(size_t layer, std::streamoff at) {
    std::fstream data(DataOf(layer), std::ios::in | std::ios::out | std::ios::binary);
    data.seekg(at);
    const auto byte = static_cast<char>(data.get() ^ 0x40);
    data.seekp(at);
    data.put(byte);
    ASSERT_TRUE(data.good());
  }

  testing::PublishedImage image_;
  std::vector<BlobRow> layers_;
  std::string tree_;
  std::atomic<uint64_t> activity_ = 0, looks_ = 0;
  std::atomic<bool> busy_ = false;
  std::atomic<uint64_t> room_ = UINT64_MAX;
  uint64_t bytes_per_second_ = 1ULL << 40;
  std::unique_ptr<Completer> completer_;
};

TEST_F(CompleterTest, AnAttachedImageIsCompletedVerifiedAndSwitched) {
  Attach();
  ASSERT_TRUE(AllOn(BlobFile::kFuse));
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return AllOn(BlobFile::kCache); }));
  for (size_t layer = 0; layer < 2; ++layer) {
    EXPECT_TRUE(filler_->IsSealed(layers_[layer]));
    EXPECT_EQ(CacheFile(layer), image_.BlobContent(layer));
  }
  EXPECT_TRUE(testing::Eventually([&] { return mounter_.local().contains(tree_); }));
  EXPECT_EQ(completer_->Stats().blobs_sealed, 2U);
  EXPECT_EQ(completer_->Stats().blobs_switched, 2U);
}

TEST_F(CompleterTest, WhatIsSealedIsAttachedOnItsCacheAlsoAfterARestart) {
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
  completer_.reset();
  RestartNode();
  const uint64_t reads = store_->counts().reads;
  Attach();
  EXPECT_TRUE(AllOn(BlobFile::kCache));
  EXPECT_EQ(store_->counts().reads, reads);
}

TEST_F(CompleterTest, ImagesWithoutSnapshotsAreLeftAlone) {
  RemoveSnapshots();
  const auto other = testing::Publish(store_, {testing::MakeBigLayer(2, 9)});
  ASSERT_OK(images_->Ensure(other.chain(), {}));
  AddSnapshot(other.chain());
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 1; }));
  EXPECT_TRUE(filler_->IsSealed(LayersOf(other.chain())[0]));
  EXPECT_FALSE(filler_->IsSealed(layers_[0]));
}

// Whenever the completer looks, something has happened since.
TEST_F(CompleterTest, WhileTheStoreIsWantedNothingIsFetched) {
  busy_ = true;
  const uint64_t before = store_->counts().reads;
  StartCompleter();
  WaitForLooks(50);
  EXPECT_EQ(store_->counts().reads, before);
  EXPECT_EQ(completer_->Stats().bytes_fetched, 0U);
  busy_ = false;
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
}

// At twice its bytes a second it takes at least half a second, but for what its chunks are smaller.
TEST_F(CompleterTest, ItFetchesNoFasterThanItMay) {
  bytes_per_second_ = layers_[0].size_bytes * 2;
  const auto began = std::chrono::steady_clock::now();
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return filler_->IsSealed(layers_[0]); }));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took.count(), 0.4);
}

// One range at a time: what comes meanwhile waits behind no more than that.
TEST_F(CompleterTest, ItPausesAfterTheRangeThatIsOnItsWay) {
  store_->HoldReads("packs/");
  StartCompleter();
  store_->WaitForHeldReads(1);
  busy_ = true;
  store_->ReleaseReads();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().bytes_fetched > 0; }));
  const uint64_t one_range = completer_->Stats().bytes_fetched;
  EXPECT_LT(one_range, layers_[0].size_bytes);
  WaitForLooks(50);
  EXPECT_EQ(completer_->Stats().bytes_fetched, one_range);
  busy_ = false;
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
}

TEST_F(CompleterTest, ARestartGoesOnWhereItStopped) {
  ASSERT_OK(Read(layers_[0].id, 0, 1 << 20));
  EXPECT_TRUE(testing::Eventually([&] { return !(*filler_->Find(layers_[0].id))->HasFills(); }));
  ASSERT_OK(filler_->Flush());
  RestartNode();
  store_->ResetCounts();
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
  EXPECT_LE(completer_->Stats().bytes_fetched,
            layers_[0].size_bytes + layers_[1].size_bytes - (1 << 20));
}

TEST_F(CompleterTest, AChunkThatTheDiskGarbledIsFoundBeforeSealingAndFetchedAgain) {
  for (const BlobRow& layer : layers_) {
    EXPECT_TRUE(testing::Eventually([&] {
      EXPECT_OK(Read(layer.id, 0, static_cast<uint32_t>(layer.size_bytes)));
      return filler_->IsComplete(layer);
    }));
  }
  ASSERT_OK(filler_->Flush());
  Damage(0, 70'000);
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
  EXPECT_EQ(CacheFile(0), image_.BlobContent(0));
  EXPECT_GT(completer_->Stats().bytes_fetched, 0U);
}

// What stands behind a chunk up to the next block is what the tail of a mapped file shows.
TEST_F(CompleterTest, WhatIsNotZeroBehindAChunkIsFoundAndMended) {
  EXPECT_TRUE(testing::Eventually([&] {
    EXPECT_OK(Read(layers_[1].id, 0, static_cast<uint32_t>(layers_[1].size_bytes)));
    return filler_->IsComplete(layers_[1]);
  }));
  ASSERT_OK(filler_->Flush());
  Damage(1, static_cast<std::streamoff>(layers_[1].size_bytes - 1));
  RestartNode();
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
  EXPECT_EQ(CacheFile(1), image_.BlobContent(1));
}

TEST_F(CompleterTest, ASwitchedBlobThatLosesAChunkGoesBackToFuseUntilItIsMended) {
  Attach();
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return AllOn(BlobFile::kCache); }));
  Damage(0, 70'000);
  faulty_->FailFrom(1, Unavailable("away"));
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(layers_[0].id));
  filler_->DropChunk(layers_[0].id, blob->ChunksIn(70'000, 1).first);
  EXPECT_TRUE(
      testing::Eventually([&] { return mounter_.FileOf(layers_[0].id) == BlobFile::kFuse; }));
  EXPECT_EQ(mounter_.FileOf(layers_[1].id), BlobFile::kCache);
  faulty_->Heal();
  while (!AllOn(BlobFile::kCache)) clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(CacheFile(0), image_.BlobContent(0));
  EXPECT_EQ(completer_->Stats().blobs_reopened, 1U);
}

TEST_F(CompleterTest, WhatTookTheDroppedChunksPlaceIsSeenOnTheDiskBeforeTheBlobIsLocalAgain) {
  Attach();
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return AllOn(BlobFile::kCache); }));
  completer_.reset();
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(layers_[0].id));
  filler_->DropChunk(layers_[0].id, blob->ChunksIn(70'000, 1).first);
  ASSERT_OK(Read(layers_[0].id, 70'000, 1));
  EXPECT_TRUE(testing::Eventually([&] { return filler_->IsComplete(layers_[0]); }));
  Damage(0, 70'000);  // once more
  EXPECT_FALSE(filler_->IsSealed(layers_[0]));
  StartCompleter();
  EXPECT_TRUE(testing::Eventually(
      [&] { return completer_->Stats().blobs_sealed == 1 && AllOn(BlobFile::kCache); }));
  EXPECT_EQ(CacheFile(0), image_.BlobContent(0));
}

TEST_F(CompleterTest, WhereTheCacheCannotBeReadDirectlyTheBlobStaysOnFuse) {
  Attach();
  mounter_.SetSwitchError(FailedPrecondition("no direct I/O"));
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return mounter_.switch_calls() > 2; }));
  EXPECT_TRUE(AllOn(BlobFile::kFuse));
  EXPECT_TRUE(filler_->IsSealed(layers_[0]));
}

TEST_F(CompleterTest, ACacheThatSomebodyHasCutIsMadeWholeAndKeepsNoOtherFromBeingCompleted) {
  ASSERT_OK(Read(layers_[0].id, 0, 1));
  ASSERT_EQ(truncate(DataOf(0).c_str(), 5000), 0);
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
  EXPECT_EQ(CacheFile(0), image_.BlobContent(0));
}

TEST_F(CompleterTest, ASwitchedBlobThatIsCutIsMadeWholeAndSwitchedAgain) {
  Attach();
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return AllOn(BlobFile::kCache); }));
  ASSERT_EQ(truncate(DataOf(0).c_str(), 70'000), 0);
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_reopened == 1; }));
  EXPECT_TRUE(testing::Eventually([&] { return AllOn(BlobFile::kCache); }));
  EXPECT_EQ(CacheFile(0), image_.BlobContent(0));
}

TEST_F(CompleterTest, WhatDoesNotFitIsNotBegunAndWhatFitsIsCompleted) {
  room_ = layers_[0].size_bytes - 4096;
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 1; }));
  EXPECT_TRUE(filler_->IsSealed(layers_[1]));
  WaitForLooks(50);
  EXPECT_EQ(filler_->AllocatedBytes(layers_[0].id), 0);
  room_ = UINT64_MAX;
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
}

TEST_F(CompleterTest, ItEndsWhereOthersHaveTakenTheRoom) {
  store_->HoldReads("packs/");
  StartCompleter();
  store_->WaitForHeldReads(1);
  room_ = 0;
  store_->ReleaseReads();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().bytes_fetched > 0; }));
  const uint64_t one_range = completer_->Stats().bytes_fetched;
  WaitForLooks(50);
  EXPECT_EQ(completer_->Stats().bytes_fetched, one_range);
  EXPECT_LT(one_range, layers_[0].size_bytes);
  EXPECT_EQ(completer_->Stats().blobs_sealed, 0U);
}

TEST_F(CompleterTest, WhatIsBeingEvictedFromIsNotSwitched) {
  Attach();
  const auto taken = filler_->TakeFile(layers_[1].id);
  StartCompleter();
  EXPECT_TRUE(testing::Eventually([&] { return completer_->Stats().blobs_sealed == 2; }));
  WaitForLooks(50);
  EXPECT_EQ(mounter_.FileOf(layers_[0].id), BlobFile::kCache);
  EXPECT_EQ(mounter_.FileOf(layers_[1].id), BlobFile::kFuse);
}

TEST_F(CompleterTest, AHeldStoreDoesNotKeepItFromEnding) {
  store_->HoldReads("packs/");
  StartCompleter();
  store_->WaitForHeldReads(1);
  completer_.reset();
}

}  // namespace
}  // namespace slacker
