// A chunk that another cache has, on file systems that can share blocks and on one that cannot.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "snapshotter/fill/blob_cache.h"
#include "tests/fault/file_systems.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kBlobBytes = 64 * kBlock;

// Of a file, how much it has in common with others.
uint64_t SharedBytes(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  constexpr uint32_t kExtents = 64;
  std::vector<char> memory(sizeof(fiemap) + kExtents * sizeof(fiemap_extent));
  auto* const map = reinterpret_cast<fiemap*>(memory.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = kExtents;
  EXPECT_EQ(ioctl(file.get(), FS_IOC_FIEMAP, map), 0);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
    if ((map->fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED) != 0)
      bytes += map->fm_extents[i].fe_length;
  }
  return bytes;
}

class SharedChunksTest : public ::testing::TestWithParam<FileSystem> {
 protected:
  void SetUp() override {
    const std::string disk = dir_ / "disk";
    MakeFileSystem(GetParam(), disk);
    std::filesystem::create_directories(mounted_);
    ASSERT_EQ(std::system(("mount -o loop " + disk + " " + mounted_).c_str()), 0);
    first_ = Open("1");
    second_ = Open("2");
  }
  void TearDown() override {
    first_.reset();
    second_.reset();
    EXPECT_EQ(umount2(mounted_.c_str(), 0), 0);
  }
  std::unique_ptr<BlobCache> Open(const std::string& name) {
    auto cache = BlobCache::Open(mounted_ + "/" + name, Sha256::Of(name), kBlobBytes, 2);
    EXPECT_OK(cache);
    return *std::move(cache);
  }
  static std::string Read(const BlobCache& cache, uint64_t offset, uint64_t size) {
    std::string bytes(size, '!');
    EXPECT_OK(cache.Read(offset, size, bytes.data()));
    return bytes;
  }
  bool CanShare() const { return GetParam().name != "ext4"; }

  TempDir dir_;
  const std::string mounted_ = dir_ / "mounted";
  std::unique_ptr<BlobCache> first_, second_;
  const std::string bytes_ = std::string(7 * kBlock, 'a') + "the end";
};

TEST_P(SharedChunksTest, AChunkTakesSpaceOnceAndOutlivesTheOneThatItIsFrom) {
  ASSERT_OK(first_->Write(1, 16 * kBlock, bytes_));
  ASSERT_OK(second_->WriteFrom({first_.get(), 1, 16 * kBlock}, 0, 8 * kBlock, bytes_));
  EXPECT_TRUE(second_->Has(0));
  ASSERT_OK(first_->Flush());
  ASSERT_OK(second_->Flush());
  const uint64_t shared = CanShare() ? 8 * kBlock : 0;
  EXPECT_EQ(SharedBytes(mounted_ + "/1.data"), shared);
  EXPECT_EQ(SharedBytes(mounted_ + "/2.data"), shared);

  ASSERT_OK(first_->Evict({{1, 16 * kBlock, 8 * kBlock}}));
  EXPECT_EQ(SharedBytes(mounted_ + "/2.data"), 0U);
  EXPECT_TRUE(Read(*second_, 8 * kBlock, 8 * kBlock) == bytes_ + std::string(kBlock - 7, '\0'));
  EXPECT_EQ(second_->SumOf(8 * kBlock), PageSums::Sum(std::string(kBlock, 'a')));
  EXPECT_EQ(second_->SumOf(15 * kBlock), PageSums::Sum("the end" + std::string(kBlock - 7, '\0')));
}

TEST_P(SharedChunksTest, WhatIsNotThereAnyMoreIsWritten) {
  ASSERT_OK(first_->Write(1, 16 * kBlock, bytes_));
  ASSERT_OK(first_->Evict({{1, 16 * kBlock, 8 * kBlock}}));
  ASSERT_OK(second_->WriteFrom({first_.get(), 1, 16 * kBlock}, 0, 8 * kBlock, bytes_));
  EXPECT_TRUE(second_->Has(0));
  EXPECT_TRUE(Read(*second_, 8 * kBlock, bytes_.size()) == bytes_);
}

// Its page cache may have it right all the time.
TEST_P(SharedChunksTest, WhereSomethingWasSpoiltItIsWrittenAndNotShared) {
  ASSERT_OK(first_->Write(1, 16 * kBlock, bytes_));
  ASSERT_OK(second_->WriteFrom({first_.get(), 1, 16 * kBlock}, 0, 8 * kBlock, bytes_));
  EXPECT_TRUE(second_->Drop({0, 8 * kBlock, 8 * kBlock}));
  ASSERT_OK(second_->WriteFrom({first_.get(), 1, 16 * kBlock}, 0, 8 * kBlock, bytes_));
  ASSERT_OK(second_->Flush());
  EXPECT_EQ(SharedBytes(mounted_ + "/2.data"), 0U);
  EXPECT_TRUE(Read(*second_, 8 * kBlock, bytes_.size()) == bytes_);
}

INSTANTIATE_TEST_SUITE_P(On, SharedChunksTest, ::testing::ValuesIn(FileSystems()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace slacker::testing
