// What the node's disk does to caches that are not complete: whoever reads gets right bytes or an
// error.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "backend/base/codec.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/fill/blob_filler.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

constexpr uint64_t kPage = PageSums::kPageBytes;

class SpoiltCacheTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeBigLayer(40)});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    const auto layers = LayersOf(image_.chain());
    ASSERT_EQ(layers.size(), 1U);
    row_ = layers[0];
    content_ = image_.BlobContent(0);
    FillAll();
  }
  // All but the last chunk, so that it is not complete; durable.
  void FillAll() {
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(row_.id));
    const auto last = static_cast<uint32_t>(chunks().size() - 1);
    ASSERT_OK(filler_->Fill(blob, 0, last, [] { return false; }));
    EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
    ASSERT_OK(filler_->Flush());
  }
  const TableVector<Chunk>& chunks() const { return image_.layers[0].layer.chunks; }
  uint64_t filled_size() const { return chunks().back().blob_offset; }
  std::string DataPath() const { return dir_ / ("blobs/" + std::to_string(row_.id) + ".data"); }
  std::string MapPath() const { return dir_ / ("blobs/" + std::to_string(row_.id) + ".map"); }

  static void FlipBit(const std::string& path, uint64_t at, int bit = 0) {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(pread(fd.get(), &byte, 1, static_cast<off_t>(at)), 1);
    byte = static_cast<char>(byte ^ (1 << bit));
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, static_cast<off_t>(at)), 1);
  }
  void Overwrite(uint64_t at, std::string_view bytes) const {
    const UniqueFd fd(open(DataPath().c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
  }
  void Punch(uint64_t at, uint64_t size) const {
    const UniqueFd fd(open(DataPath().c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(at), static_cast<off_t>(size)),
              0);
  }
  void ExpectRight(uint64_t offset, uint64_t size) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes,
                         Read(row_.id, offset, static_cast<uint32_t>(size)));
    EXPECT_TRUE(bytes == content_.substr(offset, size)) << offset << " + " << size;
  }
  // Counted right behind the answer.
  void ExpectFilled(uint64_t chunks) {
    EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().chunks_filled >= chunks; }));
    EXPECT_EQ(filler_->Stats().chunks_filled, chunks);
  }
  void ExpectAllRight() { ExpectRight(0, content_.size()); }
  void Settle() {
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(row_.id));
    EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
  }
  // Makes the map one of the version before: claims without sums.
  void WriteMapOfTheVersionBefore(std::optional<uint64_t> other_size = std::nullopt) const {
    ASSERT_OK_AND_ASSIGN(const BlobMap map, ReadBlobMap(MapPath(), row_.size_bytes));
    std::string bytes;
    Encoder encoder(&bytes);
    encoder.Raw({"SLKMAP2\0", 8});
    encoder.Hash(map.record);
    encoder.U64(other_size.value_or(map.size_bytes));
    encoder.U32(map.chunks);
    encoder.U8(map.verified ? 1 : 0);
    for (uint32_t byte = 0; byte < (map.chunks + 7) / 8; ++byte) {
      encoder.U8(static_cast<uint8_t>(map.words[byte / 8] >> (byte % 8 * 8)));
    }
    encoder.Hash(Sha256::Of(bytes));
    ASSERT_OK(WriteFileAtomically(MapPath(), bytes));
  }

  testing::PublishedImage image_;
  BlobRow row_;
  std::string content_;
};

TEST_F(SpoiltCacheTest, ABitThatFlippedInAnyPageIsNeverServed) {
  for (uint64_t page = 0; page < filled_size() / kPage; ++page) {
    Settle();
    const uint64_t spoilt = filler_->Stats().chunks_spoilt;
    const uint64_t filled = filler_->Stats().chunks_filled;
    FlipBit(DataPath(), page * kPage + page * 101 % kPage, static_cast<int>(page % 8));
    ExpectRight(page * kPage, kPage);
    EXPECT_EQ(filler_->Stats().chunks_spoilt, spoilt + 1) << page;
    ExpectFilled(filled + 1);
  }
  Settle();
  const uint64_t filled = filler_->Stats().chunks_filled;
  ExpectRight(0, filled_size());
  EXPECT_EQ(filler_->Stats().chunks_filled, filled) << "what was fetched again was written, too";
}

TEST_F(SpoiltCacheTest, OnlyChunksThatAreSpoiltAreFetchedAgainByAReadOfMany) {
  const uint64_t filled = filler_->Stats().chunks_filled;
  for (const size_t chunk : {size_t{0}, size_t{7}, size_t{8}, chunks().size() - 2}) {
    FlipBit(DataPath(), chunks()[chunk].blob_offset);
  }
  ExpectRight(0, filled_size());
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 4U);
  ExpectFilled(filled + 4);
}

TEST_F(SpoiltCacheTest, PartsOfPagesAreCheckedAsWell) {
  FlipBit(DataPath(), 5 * kPage);
  ExpectRight(5 * kPage + 1, 10);  // the page is wrong, if not these bytes
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 1U);
}

TEST_F(SpoiltCacheTest, WithoutAStoreASpoiltChunkFailsAndTheOthersAreRead) {
  faulty_->FailFrom(1, Unavailable("down"));
  FlipBit(DataPath(), chunks()[3].blob_offset + 1);
  EXPECT_THAT(ReadWhileTimePasses(row_.id, chunks()[3].blob_offset, kPage),
              StatusIs(absl::StatusCode::kUnavailable));
  ExpectRight(0, chunks()[3].blob_offset);
  ExpectRight(chunks()[4].blob_offset, filled_size() - chunks()[4].blob_offset);
  faulty_->Heal();
  ExpectAllRight();
}

TEST_F(SpoiltCacheTest, ASpoiltChunkWaitsForAStoreThatComesBack) {
  fill_options_.stall_timeout = std::chrono::hours(24 * 365);  // the clock below runs fast
  RestartNode();
  FlipBit(DataPath(), chunks()[3].blob_offset + 1);
  faulty_->FailFrom(1, Unavailable("down"));
  auto read = StartRead(row_.id, chunks()[3].blob_offset, kPage);
  EXPECT_TRUE(testing::Eventually([&] {
    clock_.Advance(std::chrono::milliseconds(10));
    return filler_->Stats().retries >= 3;
  }));
  faulty_->Heal();
  while (read.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(500));
  }
  ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
  EXPECT_TRUE(bytes == content_.substr(chunks()[3].blob_offset, kPage));
}

TEST_F(SpoiltCacheTest, AHoleThatSomebodyPunchedIsFetchedAgain) {
  Punch(chunks()[2].blob_offset, 3 * kPage);
  ExpectAllRight();
  EXPECT_GT(filler_->Stats().chunks_spoilt, 0U);
}

TEST_F(SpoiltCacheTest, AnotherBlobsBytesAreFetchedAgain) {
  std::string other = content_.substr(0, filled_size());
  std::rotate(other.begin(), other.begin() + kPage, other.end());
  Overwrite(0, other);
  ExpectAllRight();
  RestartNode();
  Overwrite(0, other);
  ExpectAllRight();
}

TEST_F(SpoiltCacheTest, AnotherBlobsFileInItsPlaceIsFetchedAgain) {
  StopNode();
  std::filesystem::copy(DataPath(), DataPath() + ".other");
  std::filesystem::rename(DataPath() + ".other", DataPath());
  Overwrite(0, std::string(filled_size(), 'o'));
  StartNode();
  ExpectAllRight();
  EXPECT_EQ(filler_->Stats().chunks_spoilt, chunks().size() - 1);
}

TEST_F(SpoiltCacheTest, AFileThatIsCutUnderAReaderIsAnsweredFromTheStore) {
  ASSERT_EQ(truncate(DataPath().c_str(), static_cast<off_t>(2 * kPage)), 0);
  ExpectAllRight();
  ASSERT_EQ(truncate(DataPath().c_str(), static_cast<off_t>(content_.size())), 0);  // zeros now
  ExpectAllRight();
  RestartNode();
  ExpectAllRight();
}

TEST_F(SpoiltCacheTest, DataThatWasSpoiltWhileNobodyRanIsFoundByTheSumsOfTheMap) {
  StopNode();
  FlipBit(DataPath(), chunks()[9].blob_offset + 17, 7);
  StartNode();
  ExpectRight(0, filled_size());
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 1U);
  ExpectFilled(1);
}

TEST_F(SpoiltCacheTest, WithMapAndDataSpoiltEverythingIsVerifiedAndOnlyTheDataFetched) {
  const uint64_t size = std::filesystem::file_size(MapPath());
  for (const uint64_t at : {uint64_t{0}, uint64_t{60}, size / 2, size - 40, size - 1}) {
    ASSERT_OK(filler_->Flush());
    StopNode();
    FlipBit(MapPath(), at, 3);
    FlipBit(DataPath(), chunks()[9].blob_offset + 17, 7);
    StartNode();
    ExpectRight(0, filled_size());
    EXPECT_TRUE(testing::Eventually(
        [&] { return filler_->Stats().chunks_recovered == chunks().size() - 2; }));
    ExpectFilled(1);
    Settle();
  }
}

TEST_F(SpoiltCacheTest, ReadersBesideADiskThatSpoilsAndAStoreThatFailsGetRightBytesOrErrors) {
  fill_options_.stall_timeout = std::chrono::milliseconds(200);
  RestartNode();
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> right = 0;
  std::atomic<uint64_t> failed = 0;
  std::atomic<uint64_t> wrong = 0;
  std::atomic<size_t> done = 0;
  std::vector<std::thread> readers;
  for (unsigned seed = 0; seed < 4; ++seed) {
    readers.emplace_back([&, seed] {
      std::minstd_rand random(seed + 1);
      while (!stop) {
        const uint64_t offset = random() % (content_.size() / kPage) * kPage;
        const auto size = static_cast<uint32_t>((1 + random() % 16) * kPage);
        const auto bytes = Read(row_.id, offset, size);
        (!bytes.ok() ? failed : *bytes == content_.substr(offset, size) ? right : wrong)++;
      }
      ++done;
    });
  }
  std::minstd_rand random(99);
  const bool in_time = testing::Eventually([&] {
    for (int i = 0; i < 20; ++i) {
      const uint64_t page = random() % (content_.size() / kPage) * kPage;
      switch (random() % 3) {
        case 0:
          FlipBit(DataPath(), page + random() % kPage, static_cast<int>(random() % 8));
          break;
        case 1:
          Punch(page, kPage);
          break;
        default:
          Overwrite(page, content_.substr((page + 3 * kPage) % filled_size(), kPage));
      }
    }
    if (random() % 4 == 0) faulty_->FailFrom(1, Unavailable("down"));
    if (random() % 4 == 0) faulty_->Heal();
    clock_.Advance(std::chrono::milliseconds(50));
    (void)filler_->Flush();
    return right > 500 && failed > 5 && filler_->Stats().chunks_spoilt > 50;
  });
  faulty_->Heal();
  stop = true;
  // What waits to be tried again does so by this clock.
  while (done < readers.size()) {
    clock_.Advance(std::chrono::milliseconds(50));
    std::this_thread::yield();
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_TRUE(in_time) << right << " right, " << failed << " failed";
  EXPECT_EQ(wrong, 0U);
  ExpectAllRight();
}

TEST_F(SpoiltCacheTest, WhatAMapOfTheVersionBeforeClaimsIsComparedWithItsDigestsFirst) {
  StopNode();
  WriteMapOfTheVersionBefore();
  FlipBit(DataPath(), chunks()[9].blob_offset + 17, 7);
  faulty_->FailFrom(1, Unavailable("down"));
  StartNode();
  ExpectRight(0, chunks()[9].blob_offset);
  EXPECT_THAT(ReadWhileTimePasses(row_.id, chunks()[9].blob_offset, kPage),
              StatusIs(absl::StatusCode::kUnavailable));
  faulty_->Heal();
  ExpectRight(0, filled_size());
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 1U);
  ExpectFilled(1);
  EXPECT_EQ(filler_->Stats().chunks_recovered, 0U);
  // Compared once: from now on there are sums, also after the next start.
  Settle();
  RestartNode();
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(row_.id));
  for (uint64_t at = 0; at < filled_size(); at += kPage) {
    EXPECT_NE(blob->cache().SumOf(at), PageSums::kUnknown) << at;
  }
}

TEST_F(SpoiltCacheTest, AMapThatSaysThatItsBlobIsLargerThanMemoryClaimsNothing) {
  StopNode();
  WriteMapOfTheVersionBefore(uint64_t{1} << 60);
  StartNode();
  ExpectRight(0, filled_size());
}

TEST_F(SpoiltCacheTest, WhatAMapOfTheVersionBeforeSaysIsSealedStaysSealed) {
  ExpectAllRight();
  Settle();
  {
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(row_.id));
    ASSERT_OK(blob->cache().Seal(blob->cache().drops()));
  }
  StopNode();
  WriteMapOfTheVersionBefore();
  faulty_->FailFrom(1, Unavailable("down"));
  StartNode();
  EXPECT_TRUE(filler_->IsSealed(row_));
  ExpectAllRight();
  EXPECT_TRUE(filler_->IsSealed(row_));
  faulty_->Heal();
}

}  // namespace
}  // namespace slacker
