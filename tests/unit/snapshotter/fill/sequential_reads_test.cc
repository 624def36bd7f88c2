#include "snapshotter/fill/sequential_reads.h"

#include <gmock/gmock.h>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using Ahead = std::pair<uint32_t, uint32_t>;

constexpr uint32_t kChunkBytes = 64 << 10;

// Files of so many chunks each.
TableVector<Chunk> Files(std::initializer_list<uint32_t> sizes) {
  TableVector<Chunk> chunks;
  for (const uint32_t size : sizes) {
    for (uint32_t index = 0; index < size; ++index) chunks.push_back({{}, index, kChunkBytes, 0});
  }
  return chunks;
}

uint32_t CountOf(const Ahead& ahead) { return ahead.second - ahead.first; }

TEST(SequentialReadsTest, WhoGoesOnIsFetchedMoreAndMore) {
  const TableVector<Chunk> chunks = Files({100});
  SequentialReads reads;
  EXPECT_EQ(CountOf(reads.OnMiss(chunks, 10, 11)), 0U);
  EXPECT_EQ(reads.OnMiss(chunks, 11, 12), Ahead(12, 14));
  EXPECT_EQ(reads.OnMiss(chunks, 14, 15), Ahead(15, 19));
  EXPECT_EQ(reads.OnMiss(chunks, 19, 20), Ahead(20, 28));
  EXPECT_EQ(reads.OnMiss(chunks, 28, 29), Ahead(29, 45));
  EXPECT_EQ(reads.OnMiss(chunks, 45, 46), Ahead(46, 62)) << "not more than there may be";
  EXPECT_EQ(reads.OnMiss(chunks, 62, 64), Ahead(64, 80));
}

TEST(SequentialReadsTest, WhatIsOnItsWayIsNotAskedForTwice) {
  const TableVector<Chunk> chunks = Files({100});
  SequentialReads reads;
  (void)reads.OnMiss(chunks, 10, 11);
  EXPECT_EQ(CountOf(reads.OnMiss(chunks, 10, 11)), 0U) << "another part of the same chunk";
  EXPECT_EQ(reads.OnMiss(chunks, 11, 12), Ahead(12, 14));
  EXPECT_EQ(CountOf(reads.OnMiss(chunks, 11, 12)), 0U);
  EXPECT_EQ(CountOf(reads.OnMiss(chunks, 12, 13)), 0U);
  EXPECT_EQ(CountOf(reads.OnMiss(chunks, 13, 14)), 0U);
  EXPECT_EQ(reads.OnMiss(chunks, 13, 15), Ahead(15, 19)) << "a read of the last one and the next";
}

TEST(SequentialReadsTest, AFileEndsWhereTheNextBegins) {
  const TableVector<Chunk> chunks = Files({3, 5});
  SequentialReads reads;
  (void)reads.OnMiss(chunks, 0, 1);
  EXPECT_EQ(reads.OnMiss(chunks, 1, 2), Ahead(2, 3));
  EXPECT_EQ(CountOf(reads.OnMiss(chunks, 3, 4)), 0U) << "another file, though it is the next chunk";
  EXPECT_EQ(reads.OnMiss(chunks, 4, 5), Ahead(5, 7));
  EXPECT_EQ(reads.OnMiss(chunks, 7, 8), Ahead(8, 8)) << "the end of the blob";
}

TEST(SequentialReadsTest, WhoJumpsIsFetchedNothing) {
  const TableVector<Chunk> chunks = Files({100});
  SequentialReads reads;
  for (uint32_t chunk = 0; chunk < 100; chunk += 2) {
    EXPECT_EQ(CountOf(reads.OnMiss(chunks, chunk, chunk + 1)), 0U) << chunk;
  }
  for (uint32_t chunk = 99; chunk > 1; chunk -= 2) {
    EXPECT_EQ(CountOf(reads.OnMiss(chunks, chunk - 1, chunk)), 0U) << chunk;
  }
}

TEST(SequentialReadsTest, SeveralReadInTurns) {
  const TableVector<Chunk> chunks = Files({50, 50, 50});
  SequentialReads reads;
  for (const uint32_t begin : {5U, 55U, 105U}) (void)reads.OnMiss(chunks, begin, begin + 1);
  for (const uint32_t begin : {5U, 55U, 105U}) {
    EXPECT_EQ(reads.OnMiss(chunks, begin + 1, begin + 2), Ahead(begin + 2, begin + 4));
  }
}

class AheadOfReadersTest : public testing::NodeTest {
 protected:
  static constexpr uint32_t kChunks = 40;

  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeLayerOfBigChunks(kChunks, 1)});
    content_ = image_.BlobContent(0);
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    blob_ = LayersOf(image_.chain())[0].id;
    before_ = PackReads();
  }
  uint64_t PackReads() {
    uint64_t reads = 0;
    const auto names = store_->List("packs/");
    EXPECT_OK(names);
    for (const std::string& name : *names) reads += store_->ReadsOf(name);
    return reads;
  }
  // As the kernel reads: a quarter of a chunk at a time.
  void ReadChunk(uint32_t chunk) {
    for (uint64_t offset = uint64_t{chunk} * kChunkBytes;
         offset < uint64_t{chunk + 1} * kChunkBytes; offset += kChunkBytes / 4) {
      ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, offset, kChunkBytes / 4));
      ASSERT_TRUE(bytes == content_.substr(offset, kChunkBytes / 4)) << offset;
    }
  }

  testing::PublishedImage image_;
  std::string content_;
  uint64_t blob_ = 0, before_ = 0;
};

TEST_F(AheadOfReadersTest, AFileThatIsReadInOrderTakesFewRequests) {
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) ReadChunk(chunk);
  EXPECT_LE(PackReads() - before_, 14U);
  EXPECT_TRUE(testing::Eventually([this] { return filler_->Stats().chunks_filled >= kChunks; }));
  EXPECT_EQ(filler_->Stats().chunks_filled, uint64_t{kChunks}) << "each once";
}

TEST_F(AheadOfReadersTest, WhoJumpsIsFetchedNoMoreThanHeReads) {
  for (uint32_t chunk = 0; chunk < kChunks; chunk += 2) ReadChunk(chunk);
  EXPECT_EQ(PackReads() - before_, uint64_t{kChunks} / 2);
  // A chunk is counted after the reader that waits for it was answered.
  EXPECT_TRUE(
      testing::Eventually([this] { return filler_->Stats().chunks_filled >= kChunks / 2; }));
  EXPECT_EQ(filler_->Stats().chunks_filled, uint64_t{kChunks} / 2);
}

TEST_F(AheadOfReadersTest, WhatWouldNotBeKeptIsNotFetchedAhead) {
  filler_->engine().SetCaching(false);
  ReadChunk(0);
  ReadChunk(1);
  EXPECT_TRUE(testing::Eventually([this] { return PackReads() - before_ >= 2; }));
  EXPECT_LE(filler_->Stats().chunks_filled, 8U) << "only what was read, each time anew";
}

}  // namespace
}  // namespace slacker
