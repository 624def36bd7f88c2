// What happens to cache files that containers read without slackerd: a byte of one changes, one is
// cut, one is deleted. Readers have them as they would have a file of overlayfs; what care makes of
// it happens under their mounts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/fault/container_fixture.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr size_t kChunks = 41, kDamagedChunk = 20;  // of the file "big"; a page each
constexpr size_t kPage = 4096;
constexpr char kLower[] = "of the layer below";

class DamagedCacheTest : public ContainerFixture {
 protected:
  void SetUp() override {
    SampleLayer lower = MakeBigLayer(5, 1);
    AddSampleFile(&lower, 0, "lower", kLower);
    PublishLayers({lower, MakeBigLayer(kChunks - 1, 2)}, kChunks);
  }

  // A container whose image is read from its cache files alone. False when a step failed.
  bool StartContainer(Daemon& daemon) {
    return MountContainer(daemon, "container") && Eventually([this] { return AllSwitched(); });
  }
  // Of the top layer.
  std::string Cache() const {
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/blobs")) {
      if (entry.path().extension() != ".data") continue;
      if (entry.file_size() == image_.BlobContent(1).size()) return entry.path();
    }
    return "";
  }
  // In the cache.
  uint64_t DamagedAt() const {
    const auto& chunks = image_.layers[1].layer.chunks;
    return chunks[chunks.size() - kChunks + kDamagedChunk].blob_offset;
  }

  // The pages of "big", from the disk. Of the layer below everything is right.
  struct Pages {
    size_t right = 0, wrong = 0, unreadable = 0;
  };
  Pages ReadPages() {
    DropKernelCaches();
    Pages pages;
    const UniqueFd file(open((merged_ + "/big").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(file.valid());
    for (size_t at = 0; at < big_.size(); at += kPage) {
      std::string page(std::min(kPage, big_.size() - at), '\0');
      const ssize_t got = pread(file.get(), page.data(), page.size(), static_cast<off_t>(at));
      if (got != static_cast<ssize_t>(page.size())) {
        ++pages.unreadable;
      } else if (page == std::string_view(big_).substr(at, page.size())) {
        ++pages.right;
      } else {
        ++pages.wrong;
      }
    }
    EXPECT_EQ(ReadWholeFile(merged_ + "/lower"), kLower);
    return pages;
  }
  // Care makes it whole again under its readers. Whole the file is before its devices leave it and come
  // back: when slackerd dies in between, readers wait for the next one.
  void ExpectMended(const std::string& cache) {
    EXPECT_TRUE(Eventually([this] {
      const Pages pages = ReadPages();
      EXPECT_EQ(pages.wrong, 0U);
      return pages.right == kChunks && CounterOf(sock_, "blobs_reopened") == 1 && AllSwitched();
    }));
    EXPECT_TRUE(ReadWholeFile(cache) == image_.BlobContent(1));
  }
  void ExpectSound() { EXPECT_EQ(ReadPages().right, kChunks); }
  // All of what this node has.
  int Scrub() { return RunTool({"scrub", "--address", sock_}); }
  // Does what makes care look again at once: it waits for activity, and half a minute for none.
  void WakeCare(Daemon& daemon) { EXPECT_TRUE(daemon.Prepare("another", top_).ok()); }
};

TEST_F(DamagedCacheTest, AByteThatFlippedIsFoundByAScrubAndMendedUnderTheMount) {
  const auto daemon = Start();
  ASSERT_TRUE(StartContainer(*daemon));
  const std::string cache = Cache();
  ASSERT_NE(cache, "");
  {
    std::fstream file(cache, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(DamagedAt()) + 1000);
    file.put(static_cast<char>(big_[kDamagedChunk * kPage + 1000] ^ 1));
    ASSERT_TRUE(file.good());
  }
  // Nobody has looked yet: one page is as on overlayfs.
  const Pages before = ReadPages();
  EXPECT_EQ(before.unreadable, 0U);
  EXPECT_GE(before.right, kChunks - 1);

  EXPECT_EQ(Scrub(), 0);
  WakeCare(*daemon);
  EXPECT_TRUE(Eventually([this] {
    return CounterOf(sock_, "blobs_reopened") == 1 && AllSwitched();
  })) << "back to slackerd, seen on the disk once more, and switched again";
  EXPECT_TRUE(ReadWholeFile(cache) == image_.BlobContent(1));
  ExpectSound();
  End(*daemon);
}

TEST_F(DamagedCacheTest, WhatWasCutOffIsAnErrorForItsReadersAndNeverZerosUntilItIsMended) {
  auto daemon = Start();
  ASSERT_TRUE(StartContainer(*daemon));
  const std::string cache = Cache();
  ASSERT_NE(cache, "");
  std::filesystem::resize_file(cache, DamagedAt());
  const Pages before = ReadPages();
  EXPECT_EQ(before.wrong, 0U);
  // And the pages before it that the kernel keeps together with its first one.
  EXPECT_GE(before.unreadable, kChunks - kDamagedChunk);

  (void)Scrub();
  EXPECT_EQ(ReadPages().wrong, 0U);
  WakeCare(*daemon);
  ExpectMended(cache);
  EXPECT_EQ(CounterOf(sock_, "caches_cut"), 1U);
  const std::string missing = std::to_string(image_.BlobContent(1).size() - DamagedAt());
  EXPECT_THAT(Log(), ContainsRegex("cut by somebody.*\"missing_bytes\":\"" + missing + "\""));
  EXPECT_THAT(Log(), ContainsRegex("is whole again.*\"bytes\":\"" + missing + "\""));

  // And when nobody has noticed it before slackerd died.
  daemon->End(SIGKILL);
  std::filesystem::resize_file(cache, DamagedAt());
  EXPECT_EQ(ReadPages().wrong, 0U);
  daemon = Start();
  ASSERT_TRUE(daemon->running());
  EXPECT_EQ(ReadPages().wrong, 0U);
  ExpectMended(cache);
  End(*daemon);
}

// Whoever has it open has it still: loop devices, and slackerd until its end.
TEST_F(DamagedCacheTest, AFileThatWasDeletedIsReadOnAndThereAgainAfterTheNextStart) {
  auto daemon = Start();
  ASSERT_TRUE(StartContainer(*daemon));
  const std::string cache = Cache();
  ASSERT_NE(cache, "");
  std::filesystem::remove(cache);
  ExpectSound();
  EXPECT_TRUE(Eventually([this] { return CounterOf(sock_, "caches_deleted") == 1; }));
  EXPECT_THAT(Log(), HasSubstr("a blob cache was deleted by somebody"));
  EXPECT_EQ(Scrub(), 0);
  WakeCare(*daemon);
  ExpectSound();
  daemon->End(SIGKILL);
  ExpectSound();

  daemon = Start();
  ASSERT_TRUE(daemon->running());
  ExpectSound();
  EXPECT_TRUE(Eventually([&] { return ReadWholeFile(cache) == image_.BlobContent(1); }));
  ExpectSound();
  End(*daemon);
}

}  // namespace
}  // namespace slacker::testing
