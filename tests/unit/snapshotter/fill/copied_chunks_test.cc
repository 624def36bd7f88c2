// Chunks that the cache of another layer has.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

constexpr uint32_t kCopiedChunks = 40;

// Two images of one layer each: different layers with the same large file, at another place.
class CopiedChunksTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    testing::SampleLayer first = testing::MakeBigLayer(kCopiedChunks);
    testing::SampleLayer second = testing::MakeSampleLayer(1);
    second.layer.diff_id = Sha256::Of("the other one");
    testing::AddSampleFile(&second, 0, "before", std::string(20'000, 'x'));
    testing::AddSampleFile(&second, 0, "big", BigFile(first));
    images_of_[0] = testing::Publish(store_, {first});
    images_of_[1] = testing::Publish(store_, {second});
    NodeTest::SetUp();
    for (int i = 0; i < 2; ++i) {
      ASSERT_OK(images_->Ensure(images_of_[i].chain(), {}));
      images_->WaitForBackgroundForTest();
      AddSnapshot(images_of_[i].chain());
      rows_[i] = LayersOf(images_of_[i].chain())[0];
      content_[i] = images_of_[i].BlobContent(0);
    }
  }
  static std::string BigFile(const testing::SampleLayer& layer) {
    std::string content;
    for (uint32_t i = 0; i <= kCopiedChunks; ++i) {
      content += layer.chunks[layer.chunks.size() - kCopiedChunks - 1 + i];
    }
    return content;
  }
  // Where the shared file begins in a blob.
  uint64_t BigAt(int image) const {
    const auto& chunks = images_of_[image].layers[0].layer.chunks;
    return chunks[chunks.size() - kCopiedChunks - 1].blob_offset;
  }
  void FillFirst() { ReadAll(0); }
  void ReadAll(int image) {
    const auto bytes = Read(rows_[image].id, 0, static_cast<uint32_t>(content_[image].size()));
    ASSERT_OK(bytes);
    EXPECT_TRUE(*bytes == content_[image]);
    WaitForCache(image);
  }
  void WaitForCache(int image) {
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(rows_[image].id));
    EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
  }
  ReadResult ReadShared(int image) {
    const uint64_t at = BigAt(image);
    return Read(rows_[image].id, at, static_cast<uint32_t>(content_[image].size() - at));
  }
  void ExpectShared(const ReadResult& bytes, int image) {
    ASSERT_OK(bytes);
    EXPECT_TRUE(*bytes == content_[image].substr(BigAt(image)));
    WaitForCache(image);  // who reads is answered before anything is counted
  }

  testing::PublishedImage images_of_[2];
  BlobRow rows_[2];
  std::string content_[2];
};

TEST_F(CopiedChunksTest, WhatTheFirstImageHasIsNotAskedOfTheStoreForTheSecond) {
  FillFirst();
  faulty_->FailFrom(1, Unavailable("down"));
  const FillStats before = filler_->Stats();
  ExpectShared(ReadShared(1), 1);
  const FillStats after = filler_->Stats();
  EXPECT_EQ(faulty_->calls(), 0U);
  EXPECT_EQ(after.store_requests, before.store_requests);
  EXPECT_EQ(after.chunks_copied, kCopiedChunks + 1);
  EXPECT_EQ(after.chunks_filled, before.chunks_filled);
  // It is in the second cache now, whatever becomes of the first.
  ASSERT_OK_AND_ASSIGN(const auto first, filler_->Find(rows_[0].id));
  for (uint32_t chunk = 0; chunk < first->layer().chunks.size(); ++chunk) {
    (void)first->cache().Drop(first->ExtentOf(chunk));
  }
  ExpectShared(ReadShared(1), 1);
  EXPECT_EQ(filler_->Stats().chunks_copied, kCopiedChunks + 1);
}

TEST_F(CopiedChunksTest, TheRestComesFromTheStore) {
  FillFirst();
  const uint64_t filled = filler_->Stats().chunks_filled;
  ReadAll(1);
  const FillStats stats = filler_->Stats();
  EXPECT_GT(stats.chunks_filled, filled);
  EXPECT_GE(stats.chunks_copied, kCopiedChunks + 1);
  EXPECT_EQ(stats.chunks_filled - filled + stats.chunks_copied,
            images_of_[1].layers[0].layer.chunks.size());
}

TEST_F(CopiedChunksTest, AfterARestartTheCachesThatNobodyReadsAreKnown) {
  FillFirst();
  RestartNode();
  EXPECT_TRUE(
      testing::Eventually([&] { return filler_->engine().local_chunks().rows() > kCopiedChunks; }));
  faulty_->FailFrom(1, Unavailable("down"));
  ExpectShared(ReadShared(1), 1);
  EXPECT_EQ(filler_->Stats().chunks_copied, kCopiedChunks + 1);
  EXPECT_EQ(filler_->Stats().store_requests, 0U);
}

TEST_F(CopiedChunksTest, WhatTheDiskHasDamagedThereComesFromTheStore) {
  FillFirst();
  const auto& chunk = images_of_[0].layers[0].layer.chunks.back();
  const int fd = open((dir_ / ("blobs/" + std::to_string(rows_[0].id) + ".data")).c_str(),
                      O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(pwrite(fd, "damage", 6, static_cast<off_t>(chunk.blob_offset)), 6);
  close(fd);
  const uint64_t filled = filler_->Stats().chunks_filled;
  ExpectShared(ReadShared(1), 1);
  EXPECT_EQ(filler_->Stats().chunks_copied, kCopiedChunks);
  EXPECT_EQ(filler_->Stats().chunks_filled, filled + 1);
}

TEST_F(CopiedChunksTest, WhatWasEvictedThereOrRemovedComesFromTheStore) {
  FillFirst();
  ASSERT_OK_AND_ASSIGN(auto first, filler_->Find(rows_[0].id));
  std::vector<uint32_t> half;
  const auto count = static_cast<uint32_t>(first->layer().chunks.size());
  for (uint32_t chunk = count - kCopiedChunks / 2; chunk < count; ++chunk) half.push_back(chunk);
  ASSERT_OK(filler_->engine().Evict(first, half));
  ExpectShared(ReadShared(1), 1);
  EXPECT_EQ(filler_->Stats().chunks_copied, kCopiedChunks + 1 - kCopiedChunks / 2);
  // And back: the first takes from the second what it had to give up.
  const uint64_t filled = filler_->Stats().chunks_filled;
  ExpectShared(ReadShared(0), 0);
  EXPECT_EQ(filler_->Stats().chunks_filled, filled);
}

// Each copies from the other what it is losing at the same time.
TEST_F(CopiedChunksTest, ReadsOfBothUnderConstantEvictionAreRight) {
  std::atomic<bool> enough = false;
  std::vector<std::thread> readers;
  for (unsigned reader = 1; reader <= 4; ++reader) {
    readers.emplace_back([&, reader] {
      std::minstd_rand random(reader);
      while (!enough && !HasFailure()) {
        const int image = static_cast<int>(random() % 2);
        const uint64_t offset = random() % content_[image].size();
        const auto size = static_cast<uint32_t>(random() % 300'000 + 1);
        const auto bytes = Read(rows_[image].id, offset, size);
        ASSERT_OK(bytes);
        ASSERT_TRUE(*bytes == content_[image].substr(offset, size)) << offset << " + " << size;
      }
    });
  }
  std::minstd_rand random(99);
  for (uint64_t evicted = 0; !enough && !HasFailure();) {
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(rows_[random() % 2].id));
    std::vector<uint32_t> chunks;
    for (uint32_t chunk = 0; chunk < blob->layer().chunks.size(); ++chunk) {
      if (random() % 2 == 0) chunks.push_back(chunk);
    }
    const auto gone = filler_->engine().Evict(blob, chunks);
    ASSERT_OK(gone);
    evicted += gone->chunks;
    const FillStats stats = filler_->Stats();
    enough = evicted > 2000 && stats.chunks_copied > 100 && stats.chunks_filled > 100;
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 0U);
  for (int image = 0; image < 2; ++image) {
    WaitForCache(image);
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(rows_[image].id));
    for (uint32_t chunk = 0; chunk < blob->layer().chunks.size(); ++chunk) {
      if (!blob->cache().Has(chunk)) continue;
      EXPECT_OK(blob->VerifyOnDisk(chunk)) << chunk;
    }
  }
}

TEST_F(CopiedChunksTest, AChunkThatTwoLayersWantAtOnceIsAskedForOnce) {
  fill_options_.fetch_threads = 1;  // in the order in which they were asked for
  RestartNode();
  const FillStats before = filler_->Stats();
  store_->HoldReads("packs/");
  auto first = StartRead(rows_[0].id, BigAt(0), 4096);
  store_->WaitForHeldReads(1);
  auto second = StartRead(rows_[1].id, BigAt(1), 4096);
  auto other = StartRead(rows_[1].id, 0, 4096);  // when it is held, the second was looked at
  store_->WaitForHeldReads(2);
  store_->ReleaseReads();
  for (auto* read : {&first, &second}) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, read->get());
    EXPECT_TRUE(bytes == content_[0].substr(BigAt(0), 4096));
  }
  ASSERT_OK(other.get());
  WaitForCache(0);
  WaitForCache(1);
  EXPECT_EQ(filler_->Stats().chunks_filled, before.chunks_filled + 2);
  EXPECT_EQ(filler_->Stats().chunks_copied, before.chunks_copied + 1);
}

TEST_F(CopiedChunksTest, WhoFollowsAFetchThatIsAbandonedFetchesItself) {
  fill_options_.fetch_threads = 1;
  RestartNode();
  store_->HoldReads("packs/");
  auto first = StartRead(rows_[0].id, BigAt(0), 4096);
  store_->WaitForHeldReads(1);
  auto second = StartRead(rows_[1].id, BigAt(1), 4096);
  auto other = StartRead(rows_[1].id, 0, 4096);
  store_->WaitForHeldReads(2);
  // Whoever asked for the first is gone when its bytes come.
  ASSERT_OK(filler_->Remove(rows_[0].id));
  EXPECT_THAT(first.get(), testing::StatusIs(absl::StatusCode::kCancelled));
  store_->WaitForHeldReads(3);
  store_->ReleaseReads();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, second.get());
  EXPECT_TRUE(bytes == content_[0].substr(BigAt(0), 4096));
  ASSERT_OK(other.get());
}

}  // namespace
}  // namespace slacker
