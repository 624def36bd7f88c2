#include "snapshotter/fill/blob_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "snapshotter/files/node_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::StatusIs;

constexpr uint32_t kChunks = 70;  // more than one word of bits
constexpr uint64_t kSize = uint64_t{kChunks} * 4096;

class BlobCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlobCache> Open() {
    auto cache = BlobCache::Open(dir_ / "16", record_, kSize, kChunks);
    EXPECT_OK(cache);
    return *std::move(cache);
  }
  static absl::Status Fill(BlobCache& cache, uint32_t chunk) {
    return cache.Write(chunk, uint64_t{chunk} * 4096,
                       std::string(4096, static_cast<char>('a' + chunk % 26)));
  }
  // Changes one byte of a file.
  void Damage(const std::string& name, off_t at) {
    const UniqueFd fd(open((dir_ / name).c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(pread(fd.get(), &byte, 1, at), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, at), 1);
  }
  static ChunkExtent Extent(uint32_t chunk) { return {chunk, uint64_t{chunk} * 4096, 4096}; }
  std::unique_ptr<BlobCache> OpenSealed() {
    auto cache = Open();
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) EXPECT_OK(Fill(*cache, chunk));
    EXPECT_OK(cache->Seal(cache->drops()));
    return cache;
  }
  // What the file has of a chunk, whatever the cache says of it.
  std::string InFile(uint32_t chunk) {
    const UniqueFd fd(open((dir_ / "16.data").c_str(), O_RDONLY | O_CLOEXEC));
    std::string bytes(4096, 'x');
    EXPECT_EQ(pread(fd.get(), bytes.data(), bytes.size(), off_t{chunk} * 4096), 4096);
    return bytes;
  }
  testing::TempDir dir_;
  Digest record_ = Sha256::Of("record");
};

TEST_F(BlobCacheTest, ANewCacheIsEmptyAndReadsAsZeros) {
  const auto cache = Open();
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) EXPECT_FALSE(cache->Has(chunk));
  std::string bytes(100, 'x');
  ASSERT_OK(cache->Read(kSize - 100, 100, bytes.data()));
  EXPECT_EQ(bytes, std::string(100, '\0'));
  EXPECT_FALSE(cache->MayHold(0));
}

TEST_F(BlobCacheTest, WhatWasFlushedIsThereAfterReopening) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 0));
    ASSERT_OK(Fill(*cache, 69));
    ASSERT_OK(cache->Flush());
    EXPECT_FALSE(cache->dirty());
  }
  const auto cache = Open();
  EXPECT_TRUE(cache->Has(0));
  EXPECT_FALSE(cache->Has(1));
  EXPECT_TRUE(cache->Has(69));
  std::string bytes(4096, '\0');
  ASSERT_OK(cache->Read(69 * 4096, 4096, bytes.data()));
  EXPECT_EQ(bytes, std::string(4096, 'r'));
}

TEST_F(BlobCacheTest, AFullCacheIsSealedAndStaysSoAfterReopening) {
  {
    const auto cache = Open();
    for (uint32_t chunk = 0; chunk + 1 < kChunks; ++chunk) ASSERT_OK(Fill(*cache, chunk));
    EXPECT_THAT(cache->Seal(cache->drops()), StatusIs(absl::StatusCode::kFailedPrecondition));
    ASSERT_OK(Fill(*cache, kChunks - 1));
    EXPECT_FALSE(cache->IsSealed());
    EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
    ASSERT_OK(cache->Seal(cache->drops()));
    EXPECT_TRUE(cache->IsSealed());
  }
  EXPECT_TRUE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
  EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", Sha256::Of("another"), kSize));
  const auto cache = Open();
  EXPECT_TRUE(cache->IsSealed());
  cache->Drop(Extent(5));
  EXPECT_FALSE(cache->IsSealed());
  ASSERT_OK(cache->Flush());
  EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
  ASSERT_OK(Fill(*cache, 5));
  EXPECT_FALSE(cache->IsSealed()) << "nobody has seen what the disk made of it";
  ASSERT_OK(cache->Seal(cache->drops()));
  EXPECT_TRUE(cache->IsSealed());
}

TEST_F(BlobCacheTest, WhatWasDroppedWhileItWasVerifiedKeepsACacheFromBeingSealed) {
  const auto cache = Open();
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) ASSERT_OK(Fill(*cache, chunk));
  const uint64_t drops = cache->drops();
  cache->Drop(Extent(5));
  ASSERT_OK(Fill(*cache, 5));
  EXPECT_THAT(cache->Seal(drops), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(cache->IsSealed());
  ASSERT_OK(cache->Seal(cache->drops()));
}

TEST_F(BlobCacheTest, AMomentWithoutDescriptorsCostsACacheNothing) {
  OpenSealed().reset();
  rlimit usual{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
  const rlimit none = {0, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool opened = BlobCache::Open(dir_ / "16", record_, kSize, kChunks).ok();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_FALSE(opened);
  EXPECT_TRUE(Open()->IsSealed());
}

TEST_F(BlobCacheTest, ASealedCacheWithoutItsFileIsNone) {
  {
    const auto cache = Open();
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) ASSERT_OK(Fill(*cache, chunk));
    ASSERT_OK(cache->Seal(cache->drops()));
  }
  ASSERT_EQ(truncate((dir_ / "16.data").c_str(), 4096), 0);
  EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
  ASSERT_EQ(unlink((dir_ / "16.data").c_str()), 0);
  EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
  EXPECT_FALSE(Open()->IsSealed());
}

TEST_F(BlobCacheTest, AFileThatIsCutWhileSomebodyHasItIsKeptAndGrownFromItsEnd) {
  OpenSealed().reset();
  const UniqueFd reader(open((dir_ / "16.data").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(truncate((dir_ / "16.data").c_str(), 3 * 4096 + 10), 0);
  const auto cache = Open();
  EXPECT_TRUE(cache->useless());
  EXPECT_FALSE(cache->IsSealed());
  EXPECT_THAT(Fill(*cache, 50), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(cache->Regrow([](uint64_t, uint32_t) { return Unavailable("no store"); }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(cache->useless());
  uint64_t next = uint64_t{3} * 4096;
  ASSERT_OK(cache->Regrow([&](uint64_t offset, uint32_t size) -> absl::StatusOr<std::string> {
    EXPECT_EQ(offset, next);
    struct stat info {};
    EXPECT_EQ(fstat(reader.get(), &info), 0);
    EXPECT_LE(static_cast<uint64_t>(info.st_size), offset + 4095) << "there is never a hole";
    next = offset + size;
    return std::string(size, 'r');
  }));
  EXPECT_EQ(next, kSize);
  EXPECT_FALSE(cache->useless());
  EXPECT_FALSE(cache->Has(0)) << "nothing was looked at";
  EXPECT_TRUE(cache->MayHold(0));
  std::string page(4096, 'x');
  EXPECT_EQ(pread(reader.get(), page.data(), page.size(), 50 * 4096), 4096);
  EXPECT_EQ(page, std::string(4096, 'r'));
  ASSERT_OK(Fill(*cache, 50));
}

// A loop device may come to have the file: grown again, it would read as zeros there.
TEST_F(BlobCacheTest, AFileThatWasCutIsReplacedAndNotGrown) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 0));
    ASSERT_OK(cache->Flush());
  }
  ASSERT_EQ(truncate((dir_ / "16.data").c_str(), 8192), 0);
  std::filesystem::create_hard_link(dir_ / "16.data", dir_ / "kept");
  const auto cache = Open();
  EXPECT_FALSE(cache->Has(0));
  EXPECT_EQ(std::filesystem::file_size(dir_ / "kept"), 8192U);
  ASSERT_OK(Fill(*cache, 0));
}

TEST_F(BlobCacheTest, AFileThatIsCutUnderUsIsUsedNoMore) {
  const auto cache = Open();
  ASSERT_OK(Fill(*cache, 0));
  ASSERT_OK(Fill(*cache, 1));
  ASSERT_EQ(truncate((dir_ / "16.data").c_str(), 4096), 0);
  std::string bytes(4096, '\0');
  EXPECT_THAT(cache->Read(4096, 4096, bytes.data()), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Fill(*cache, 60), StatusIs(absl::StatusCode::kDataLoss));
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) EXPECT_FALSE(cache->Has(chunk));
  cache->MarkFilled(0, 0, std::string(4096, 'a'));
  EXPECT_FALSE(cache->Has(0));
}

TEST_F(BlobCacheTest, WhatWasNotFlushedIsNotClaimedButMayBeHeld) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 3));
    ASSERT_OK(cache->Flush());
    ASSERT_OK(Fill(*cache, 5));
  }
  const auto cache = Open();
  EXPECT_TRUE(cache->Has(3));
  EXPECT_FALSE(cache->Has(5));
  EXPECT_TRUE(cache->MayHold(5 * 4096));
  EXPECT_FALSE(cache->MayHold(40 * 4096));
}

TEST_F(BlobCacheTest, EveryDamagedByteOfTheMapMakesItEmpty) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 3));
    ASSERT_OK(cache->Flush());
  }
  const off_t size = std::ifstream(dir_ / "16.map", std::ios::ate).tellg();
  for (off_t at = 0; at < size; ++at) {
    Damage("16.map", at);
    EXPECT_FALSE(Open()->Has(3)) << "byte " << at;
    Damage("16.map", at);
  }
  EXPECT_TRUE(Open()->Has(3));
}

TEST_F(BlobCacheTest, ADataFileOfAnotherSizeIsEmpty) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 3));
    ASSERT_OK(cache->Flush());
  }
  ASSERT_EQ(truncate((dir_ / "16.data").c_str(), kSize - 1), 0);
  const auto cache = Open();
  EXPECT_FALSE(cache->Has(3));
  EXPECT_FALSE(cache->MayHold(3 * 4096));
}

TEST_F(BlobCacheTest, AMapWithoutItsDataIsEmpty) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 3));
    ASSERT_OK(cache->Flush());
  }
  ASSERT_EQ(unlink((dir_ / "16.data").c_str()), 0);
  EXPECT_FALSE(Open()->Has(3));
}

TEST_F(BlobCacheTest, AMapOfAnotherRecordIsEmpty) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 3));
    ASSERT_OK(cache->Flush());
  }
  record_ = Sha256::Of("another");
  EXPECT_FALSE(Open()->Has(3));
}

TEST_F(BlobCacheTest, ADroppedChunkIsGoneAfterReopeningToo) {
  {
    const auto cache = Open();
    ASSERT_OK(Fill(*cache, 3));
    ASSERT_OK(cache->Flush());
    cache->Drop(Extent(3));
    EXPECT_FALSE(cache->Has(3));
    ASSERT_OK(cache->Flush());
  }
  EXPECT_FALSE(Open()->Has(3));
}

TEST_F(BlobCacheTest, ADiscardedCacheLeavesNoFileBehind) {
  const auto cache = Open();
  ASSERT_OK(Fill(*cache, 3));
  cache->Discard();
  ASSERT_OK(BlobCache::Remove(dir_ / "16"));
  ASSERT_OK(BlobCache::Remove(dir_ / "16"));
  ASSERT_OK(cache->Flush());
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path()));
}

const std::string kHole(4096, '\0');

TEST_F(BlobCacheTest, EvictedChunksAreGoneAndOnlyTheyAlsoAfterReopening) {
  auto cache = OpenSealed();
  ASSERT_OK(cache->Evict({Extent(1), Extent(2), Extent(69)}));
  for (int open = 0; open < 2; ++open) {
    EXPECT_FALSE(cache->IsSealed());
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
      const bool evicted = chunk == 1 || chunk == 2 || chunk == 69;
      EXPECT_EQ(cache->Has(chunk), !evicted) << chunk;
      EXPECT_EQ(InFile(chunk) == kHole, evicted) << chunk;
      EXPECT_EQ(cache->MayHold(uint64_t{chunk} * 4096), !evicted) << chunk;
    }
    cache.reset();
    EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
    cache = Open();
  }
  ASSERT_OK(Fill(*cache, 2));
  EXPECT_NE(InFile(2), kHole);
  EXPECT_FALSE(cache->IsSealed()) << "it is to be verified again";
}

TEST_F(BlobCacheTest, WhoBeganToReadBeforeAnEvictionHasTheBytesUntilHeEnds) {
  const auto cache = OpenSealed();
  std::optional<GracePeriod::Use> reading(cache->Reading());
  std::thread evictor([&] { EXPECT_OK(cache->Evict({Extent(7)})); });
  while (cache->Has(7)) std::this_thread::yield();
  // What the disk claims went before, too.
  while (BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize)) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) {
    ASSERT_OK(SyncDirectory(dir_.path()));  // the last that the eviction does before
    EXPECT_NE(InFile(7), kHole);
  }
  { const GracePeriod::Use later = cache->Reading(); }  // neither waits nor is waited for
  EXPECT_NE(InFile(7), kHole);
  reading.reset();
  evictor.join();
  EXPECT_EQ(InFile(7), kHole);
}

// A directory in the way of the new map stands for a disk without room for it.
TEST_F(BlobCacheTest, WhereNoNewMapCanBeWrittenTheOldOneGoes) {
  {
    const auto cache = OpenSealed();
    std::filesystem::create_directory(dir_ / "16.map.new");
    ASSERT_OK(cache->Evict({Extent(7)}));
    EXPECT_TRUE(cache->Has(8));
    EXPECT_EQ(InFile(7), kHole);
    std::filesystem::remove(dir_ / "16.map.new");
  }
  {
    const auto cache = Open();
    EXPECT_FALSE(cache->Has(8));
    EXPECT_TRUE(cache->MayHold(8 * 4096));
    EXPECT_FALSE(cache->MayHold(7 * 4096));
  }
}

TEST_F(BlobCacheTest, ACacheThatADyingProcessStillHasIsReadAndNotChanged) {
  auto before = OpenSealed();
  const auto cache = Open();
  EXPECT_TRUE(cache->Has(7));
  EXPECT_FALSE(cache->IsOurs());
  EXPECT_THAT(Fill(*cache, 7), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(cache->Evict({Extent(7)}), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(cache->Has(7));
  cache->Drop(Extent(8));
  ASSERT_OK(cache->Flush());
  EXPECT_TRUE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize))
      << "the map is not ours either";
  before.reset();
  EXPECT_TRUE(cache->IsOurs());
  ASSERT_OK(cache->Evict({Extent(7)}));
  EXPECT_FALSE(BlobCache::IsSealedOnDisk(dir_ / "16", record_, kSize));
}

TEST_F(BlobCacheTest, WhatIsAboutToBeRemovedIsNotEvictedFrom) {
  const auto cache = OpenSealed();
  cache->Discard();
  EXPECT_THAT(cache->Evict({Extent(7)}), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_NE(InFile(7), kHole);
}

TEST_F(BlobCacheTest, ReadingIsNoUseAndNotingIs) {
  const auto cache = OpenSealed();
  const timespec long_ago[2] = {{.tv_sec = 1000, .tv_nsec = 0},
                                {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  ASSERT_EQ(utimensat(AT_FDCWD, (dir_ / "16.data").c_str(), long_ago, 0), 0);
  std::string bytes(4096, '\0');
  ASSERT_OK(cache->Read(0, 4096, bytes.data()));
  EXPECT_EQ(BlobCache::LastUseNanos(dir_ / "16"), 1000 * 1'000'000'000LL);
  BlobCache::NoteUse(dir_ / "16");
  EXPECT_GT(BlobCache::LastUseNanos(dir_ / "16"), 1000 * 1'000'000'000LL);
  EXPECT_EQ(BlobCache::LastUseNanos(dir_ / "17"), 0);
}

TEST_F(BlobCacheTest, AFileThatShrinksUnderneathIsAnErrorAndNotShort) {
  const auto cache = Open();
  ASSERT_EQ(truncate((dir_ / "16.data").c_str(), 4096), 0);
  std::string bytes(8192, '\0');
  EXPECT_THAT(cache->Read(0, 8192, bytes.data()), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace slacker
