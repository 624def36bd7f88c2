// A chunk that is right in the page cache and wrong on the disk. Its cache lies on a file system of
// its own, whose disk is changed underneath.
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/fault/file_systems.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker::testing {
namespace {

constexpr uint32_t kChunk = 7;

class MemoryAndDiskTest : public NodeTest {
 protected:
  void SetUp() override {
    MakeFileSystem(FileSystems().front(), disk_);
    ASSERT_EQ(std::system(("mount -o loop " + disk_ + " " + dir_.path()).c_str()), 0);
    image_ = Publish(store_, {MakeBigLayer(20, 1)});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    row_ = LayersOf(image_.chain())[0];
  }
  void TearDown() override {
    NodeTest::TearDown();
    EXPECT_EQ(umount2(dir_.path().c_str(), 0), 0);
  }
  // Where the disk has a byte of the cache.
  uint64_t OnDisk(uint64_t offset) {
    const std::string path = dir_ / ("blobs/" + std::to_string(row_.id) + ".data");
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::vector<char> memory(sizeof(fiemap) + sizeof(fiemap_extent));
    auto* const map = reinterpret_cast<fiemap*>(memory.data());
    map->fm_start = offset;
    map->fm_length = 1;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = 1;
    EXPECT_EQ(ioctl(file.get(), FS_IOC_FIEMAP, map), 0);
    EXPECT_EQ(map->fm_mapped_extents, 1U);
    return map->fm_extents[0].fe_physical + offset - map->fm_extents[0].fe_logical;
  }
  void Spoil(uint64_t at) {
    const UniqueFd disk(open(disk_.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(pread(disk.get(), &byte, 1, static_cast<off_t>(at)), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(pwrite(disk.get(), &byte, 1, static_cast<off_t>(at)), 1);
  }

  const TempDir elsewhere_;
  const std::string disk_ = elsewhere_ / "disk";
  PublishedImage image_;
  BlobRow row_;
};

TEST_F(MemoryAndDiskTest, WhatTheDiskHasSpoiltIsWrittenAnewAndNotTakenFromMemory) {
  const std::string content = image_.BlobContent(0);
  const auto bytes = Read(row_.id, 0, static_cast<uint32_t>(content.size()));
  ASSERT_OK(bytes);
  EXPECT_TRUE(*bytes == content);
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(row_.id));
  ASSERT_TRUE(Eventually([&] { return !blob->HasFills(); }));
  ASSERT_OK(filler_->Flush());
  ASSERT_OK(blob->VerifyOnDisk(kChunk));

  Spoil(OnDisk(blob->ExtentOf(kChunk).offset));
  const absl::Status spoilt = blob->VerifyOnDisk(kChunk);
  ASSERT_THAT(spoilt, StatusIs(absl::StatusCode::kDataLoss));
  filler_->engine().DropSpoilt(*blob, {kChunk}, spoilt);
  ASSERT_OK(filler_->Fill(blob, kChunk, kChunk + 1, [] { return false; }));
  ASSERT_TRUE(Eventually([&] { return !blob->HasFills(); }));
  EXPECT_OK(blob->VerifyOnDisk(kChunk));
}

}  // namespace
}  // namespace slacker::testing
