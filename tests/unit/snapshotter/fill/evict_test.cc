// Chunks that leave the cache while others read, fetch and bring them.
#include <random>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

constexpr uint32_t kCachedChunks = 40;

class EvictTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeBigLayer(kCachedChunks)});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    row_ = LayersOf(image_.chain())[0];
    content_ = image_.BlobContent(0);
    FindBlob();
  }
  void FindBlob() {
    ASSERT_OK_AND_ASSIGN(blob_, filler_->Find(row_.id));
    for (uint32_t chunk = 0; chunk < count(); ++chunk) all_.push_back(chunk);
  }
  void FillCache() {
    ASSERT_OK(Read(row_.id, 0, static_cast<uint32_t>(content_.size())));
    EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));
    ASSERT_TRUE(blob_->cache().IsFull());
  }
  uint32_t count() const { return static_cast<uint32_t>(blob_->layer().chunks.size()); }
  std::string Content(uint32_t chunk) const {
    const Chunk& at = blob_->layer().chunks[chunk];
    return content_.substr(at.blob_offset, at.size_bytes);
  }
  std::future<ReadResult> StartChunk(uint32_t chunk) {
    const Chunk& at = blob_->layer().chunks[chunk];
    return StartRead(row_.id, at.blob_offset, at.size_bytes);
  }
  uint64_t Evict(const std::vector<uint32_t>& chunks) {
    const auto evicted = filler_->engine().Evict(blob_, chunks);
    EXPECT_OK(evicted);
    return evicted->chunks;
  }

  testing::PublishedImage image_;
  BlobRow row_;
  std::string content_;
  std::shared_ptr<LayerBlob> blob_;
  std::vector<uint32_t> all_;
};

TEST_F(EvictTest, WhatIsEvictedGivesItsSpaceBackAndComesFromTheStoreAgain) {
  FillCache();
  const int64_t full = filler_->AllocatedBytes(row_.id);
  ASSERT_OK_AND_ASSIGN(const auto evicted, filler_->engine().Evict(blob_, all_));
  EXPECT_EQ(evicted.chunks, count());
  EXPECT_EQ(evicted.bytes, row_.size_bytes);
  EXPECT_LT(filler_->AllocatedBytes(row_.id), full / 4);
  const uint64_t filled = filler_->Stats().chunks_filled;
  ASSERT_OK_AND_ASSIGN(const std::string again,
                       Read(row_.id, 0, static_cast<uint32_t>(content_.size())));
  EXPECT_TRUE(again == content_);
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));
  EXPECT_EQ(filler_->Stats().chunks_filled, filled + count());
}

TEST_F(EvictTest, WhatIsNotThereOrOnItsWayIsLeftAlone) {
  EXPECT_EQ(Evict(all_), 0U);
  store_->HoldReads("packs/");
  auto read = StartChunk(3);
  store_->WaitForHeldReads(1);
  EXPECT_EQ(Evict({3}), 0U);
  store_->ReleaseReads();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
  EXPECT_TRUE(bytes == Content(3));
}

// Evict is held between what it takes from the map and the holes.
TEST_F(EvictTest, AReadInTheMiddleOfAnEvictionWaitsForItsEndAndIsThenFetched) {
  FillCache();
  std::optional<GracePeriod::Use> reading(blob_->cache().Reading());
  std::thread evictor([&] { EXPECT_EQ(Evict({3, 4}), 2U); });
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->cache().Has(4); }));
  auto wanted = StartChunk(3);
  auto other = StartChunk(5);
  ASSERT_OK_AND_ASSIGN(const std::string present, other.get());
  EXPECT_TRUE(present == Content(5));
  const uint64_t filled = filler_->Stats().chunks_filled;
  reading.reset();
  evictor.join();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, wanted.get());
  EXPECT_TRUE(bytes == Content(3));
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));
  EXPECT_EQ(filler_->Stats().chunks_filled, filled + 1);
  EXPECT_FALSE(blob_->cache().Has(4));
}

// Who had begun to read before the chunk was dropped finds right bytes without sums, and must not
// note any: with them the hole would be taken for damage.
TEST_F(EvictTest, AReaderWhoCameBeforeTheEvictionDoesNotMakeTheHoleLookLikeDamage) {
  FillCache();
  std::optional<GracePeriod::Use> reading(blob_->cache().Reading());
  std::thread evictor([&] { EXPECT_EQ(Evict({3}), 1U); });
  EXPECT_TRUE(testing::Eventually([&] { return blob_->CachedBytes(3) == 0; }));
  const ChunkExtent extent = blob_->ExtentOf(3);
  std::string early(extent.size_bytes, 'x');
  std::vector<uint32_t> wrong;
  EXPECT_OK(blob_->ReadChecked(extent.offset, early.size(), early.data(), &wrong));
  EXPECT_TRUE(wrong.empty());
  EXPECT_TRUE(early.substr(0, Content(3).size()) == Content(3));
  reading.reset();
  evictor.join();
  EXPECT_EQ(blob_->CachedBytes(3), 0U);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, StartChunk(3).get());
  EXPECT_TRUE(bytes == Content(3));
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 0U);
}

// Of a chunk that has single pages there is nothing to compare them with once their sums are gone.
TEST_F(EvictTest, WhatWasEvictedWhileItWasReadIsNoDamage) {
  ASSERT_OK(blob_->cache().WritePages(blob_->ExtentOf(3).offset,
                                      Content(3).substr(0, PageSums::kPageBytes)));
  EXPECT_EQ(Evict({3}), 1U);
  filler_->engine().DropSpoilt(*blob_, {3}, absl::OkStatus());
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 0U);
  FillCache();
  filler_->engine().DropSpoilt(*blob_, {3}, absl::OkStatus());
  filler_->engine().DropSpoilt(*blob_, {3}, absl::OkStatus());
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 1U) << "once for each time that it was found";
}

// Between what a reader is told and what it reads.
TEST_F(EvictTest, WhatIsEvictedRightAfterItWasFoundIsFetched) {
  FillCache();
  const uint64_t size = PageSums::kPageBytes;
  for (const bool single_page : {true, false}) {
    const ChunkExtent extent = blob_->ExtentOf(3);
    if (single_page) {
      EXPECT_EQ(Evict({3}), 1U);
      ASSERT_OK(blob_->cache().WritePages(extent.offset, Content(3).substr(0, size)));
    }
    std::promise<ReadResult> read;
    // Shared: with the engine, until the chunk has come.
    const auto operation = std::make_shared<ReadOperation>(
        extent.offset, size, 1, [&read](ReadResult bytes) { read.set_value(std::move(bytes)); });
    ASSERT_EQ(filler_->engine().Want(blob_, 3, 4, operation), std::vector<uint32_t>{3});
    EXPECT_EQ(Evict({3}), 1U);
    filler_->engine().ReadPresent(blob_, 3, operation);
    ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get_future().get());
    EXPECT_TRUE(bytes == Content(3).substr(0, size)) << single_page;
    EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));
  }
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 0U);
}

// The answer to a question that was given up comes when the chunk is here again, and on its way out:
// were it taken for the chunk's new fill, the map would claim what becomes a hole.
TEST_F(EvictTest, ALateAnswerDoesNotClaimWhatIsBeingEvicted) {
  store_->HoldReads("packs/");
  auto given_up = StartChunk(3);
  store_->WaitForHeldReads(1);
  while (given_up.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::seconds(30));
  }
  EXPECT_FALSE(given_up.get().ok());
  auto read = StartChunk(3);
  store_->WaitForHeldReads(2);
  store_->ReleaseLastRead();
  ASSERT_OK(read.get());
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));

  std::optional<GracePeriod::Use> reading(blob_->cache().Reading());
  std::thread evictor([&] { EXPECT_EQ(Evict({3}), 1U); });
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->cache().Has(3); }));
  store_->ReleaseReads();
  // Nobody is at the blob any more but the filler, and we.
  EXPECT_TRUE(testing::Eventually([&] { return blob_.use_count() == 2; }));
  EXPECT_FALSE(blob_->cache().Has(3));
  reading.reset();
  evictor.join();
  EXPECT_FALSE(blob_->cache().Has(3));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, StartChunk(3).get());
  EXPECT_TRUE(bytes == Content(3));
}

TEST_F(EvictTest, AFullCacheOfADeadProcessIsEvictedFromAndTheRestClaimed) {
  FillCache();
  ASSERT_OK(filler_->Flush());
  EXPECT_EQ(Evict({0, 1, 2}), 3U);
  blob_.reset();
  RestartNode();
  FindBlob();
  EXPECT_FALSE(blob_->cache().Has(2));
  EXPECT_TRUE(blob_->cache().Has(3));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, StartChunk(2).get());
  EXPECT_TRUE(bytes == Content(2));
}

TEST_F(EvictTest, WithoutCachingReadsAreRightAndNothingIsAdded) {
  filler_->engine().SetCaching(false);
  ASSERT_OK_AND_ASSIGN(const std::string all,
                       Read(row_.id, 0, static_cast<uint32_t>(content_.size())));
  EXPECT_TRUE(all == content_);
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));
  for (const uint32_t chunk : all_) EXPECT_FALSE(blob_->cache().Has(chunk));
  filler_->engine().SetCaching(true);
  FillCache();
}

TEST_F(EvictTest, AFileThatIsHeldIsNotTakenAndOneThatIsTakenNotHeld) {
  FillCache();
  for (const uint32_t chunk : all_) ASSERT_OK(blob_->VerifyOnDisk(chunk));
  EXPECT_FALSE(filler_->HoldSealed(row_).has_value()) << "not sealed yet";
  ASSERT_OK(blob_->cache().Seal(blob_->cache().drops()));
  {
    const auto one = filler_->HoldSealed(row_);
    const auto two = filler_->HoldSealed(row_);
    EXPECT_TRUE(one.has_value() && two.has_value());
    EXPECT_FALSE(filler_->TakeFile(row_.id).has_value());
  }
  {
    const auto taken = filler_->TakeFile(row_.id);
    EXPECT_TRUE(taken.has_value());
    EXPECT_FALSE(filler_->TakeFile(row_.id).has_value());
    EXPECT_FALSE(filler_->HoldSealed(row_).has_value());
    // A tree that is attached now reads through FUSE.
    ASSERT_OK(images_->Attach(image_.chain()));
    EXPECT_EQ(mounter_.FileOf(row_.id), BlobFile::kFuse);
  }
  EXPECT_TRUE(filler_->HoldSealed(row_).has_value());
}

// Readers, recovery, fetches and evictions of the same few chunks, in every order that comes.
TEST_F(EvictTest, RandomReadsUnderConstantEvictionAreRight) {
  std::atomic<bool> enough = false;
  std::vector<std::thread> readers;
  for (unsigned reader = 1; reader <= 6; ++reader) {
    readers.emplace_back([&, reader] {
      std::minstd_rand random(reader);
      while (!enough && !HasFailure()) {
        const uint64_t offset = random() % content_.size();
        const auto size = static_cast<uint32_t>(random() % 300'000 + 1);
        const auto bytes = Read(row_.id, offset, size);
        ASSERT_OK(bytes);
        ASSERT_TRUE(*bytes == content_.substr(offset, size)) << offset << " + " << size;
      }
    });
  }
  std::minstd_rand random(99);
  for (uint64_t evicted = 0; !enough && !HasFailure();) {
    std::vector<uint32_t> chunks;
    for (const uint32_t chunk : all_) {
      if (random() % 2 == 0) chunks.push_back(chunk);
    }
    evicted += Evict(chunks);
    // Some of it comes back unverified, as after a crash.
    (void)blob_->cache().Drop(blob_->ExtentOf(static_cast<uint32_t>(random() % count())));
    enough = evicted > 2000 && filler_->Stats().chunks_recovered > 0;
  }
  for (std::thread& reader : readers) reader.join();
  // What the cache claims in the end is there.
  EXPECT_TRUE(testing::Eventually([&] { return !blob_->HasFills(); }));
  for (const uint32_t chunk : all_) {
    if (!blob_->cache().Has(chunk)) continue;
    EXPECT_OK(blob_->VerifyOnDisk(chunk)) << chunk;
  }
}

}  // namespace
}  // namespace slacker
