// Blob caches that are evicted from under containers: slackerd killed at every step of it, a disk
// without room, images that leave. Whatever is read afterwards must be right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/fault/container_fixture.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/count.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

constexpr uint32_t kChunks = 100;

class EvictionTest : public ContainerFixture {
 protected:
  void SetUp() override {
    PublishLayers({MakeBigLayer(kChunks, 1)}, kChunks + 1);  // all that can be evicted can be seen
  }
  // From the next start on.
  void ConfigureCache(const std::string& complete, uint64_t max_bytes,
                      const std::string& min_free) {
    std::ofstream(config_) << "[node]\nrun_dir = \"" << run_dir_
                           << "\"\n[store]\nurl = \"loopback:" << (dir_ / "store")
                           << "\"\nbudget_ms = 30000\n[cache]\ncomplete = \"" << complete
                           << "\"\ncomplete_rate = 1099511627776\nmax_bytes = " << max_bytes
                           << "\nmin_free = \"" << min_free << "\"\n";
  }
  uint64_t CacheBytes() {
    uint64_t bytes = 0;
    std::error_code ignored;  // removed meanwhile
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/blobs", ignored)) {
      struct stat info {};
      if (stat(entry.path().c_str(), &info) == 0)
        bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    }
    return bytes;
  }
  void ExpectSound() {
    DropKernelCaches();
    EXPECT_TRUE(ReadWholeFile(merged_ + "/big") == big_);
  }
  // The root is a file system of its own, which is small.
  void MountSmallRoot() {
    std::filesystem::create_directories(root_);
    const std::string room = "size=" + std::to_string((24ULL << 20) + big_.size());
    ASSERT_EQ(::mount("tmpfs", root_.c_str(), "tmpfs", 0, room.c_str()), 0);
  }
  void BeginAgain() {
    std::filesystem::remove_all(root_);
    std::filesystem::remove(dir_ / "trace");
    top_.clear();
  }
};

constexpr const char* kSteps[] = {"evict.begin", "evict.on_fuse", "evict.cleared",
                                  "evict.unclaimed", "evict.punched"};

// What nobody has read since this slackerd began is cold: so it evicts as soon as it starts.
TEST_F(EvictionTest, DeathAtEveryStepUnderAReadingContainerHarmsNoRead) {
  for (const char* step : kSteps) {
    SCOPED_TRACE(step);
    BeginAgain();
    ConfigureCache("off", 0, "0%");
    {
      auto daemon = Start();
      ASSERT_TRUE(MountContainer(*daemon, "container"));
      ExpectSound();
      EXPECT_EQ(daemon->End(SIGTERM), 0);  // what is cached is claimed
    }
    ConfigureCache("off", big_.size() / 2, "0%");
    std::vector<std::unique_ptr<LineProcess>> readers;
    // Of the second half: the first one stays cold.
    for (int seed = 1; seed <= 32; ++seed) readers.push_back(StartReader(50, seed, "8"));
    {
      auto daemon = Start(DyingAt(step));
      EXPECT_EQ(WTERMSIG(daemon->Wait()), SIGKILL);
      EXPECT_TRUE(HasPassed(step));
    }
    auto successor = Start();
    ASSERT_TRUE(successor->running());
    for (const auto& reader : readers) EXPECT_EQ(reader->Wait(), 0);
    ExpectSound();
    End(*successor);
    EXPECT_EQ(successor->End(SIGTERM), 0);
    if (HasFailure()) return;
  }
}

TEST_F(EvictionTest, DeathAtEveryStepOfTakingACompleteImageOffTheDiskHarmsNoLaterContainer) {
  for (const char* step : kSteps) {
    SCOPED_TRACE(step);
    BeginAgain();
    ConfigureCache("idle", 0, "0%");
    {
      auto daemon = Start();
      ASSERT_TRUE(MountContainer(*daemon, "first"));
      ASSERT_TRUE(Eventually([this] { return AllSwitched(); }));
      Unmount();
      ASSERT_TRUE(daemon->Remove("first").ok());
      daemon->End(SIGKILL);
    }
    ConfigureCache("off", big_.size() / 2, "0%");
    {
      auto daemon = Start(DyingAt(step));
      EXPECT_EQ(WTERMSIG(daemon->Wait()), SIGKILL);
      EXPECT_TRUE(HasPassed(step));
    }
    ConfigureCache("off", 0, "0%");
    auto successor = Start();
    ASSERT_TRUE(MountContainer(*successor, "second"));
    ExpectSound();
    End(*successor);
    EXPECT_EQ(successor->End(SIGTERM), 0);
    if (HasFailure()) return;
  }
}

TEST_F(EvictionTest, ACompleteImageUnderAContainerKeepsItsCacheAndNeedsNobody) {
  ConfigureCache("idle", 0, "0%");
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
    ASSERT_TRUE(Eventually([this] { return AllSwitched(); }));
    daemon->End(SIGTERM);
  }
  ConfigureCache("idle", big_.size() / 4, "0%");
  const uint64_t before = CacheBytes();
  auto daemon = Start();
  ASSERT_TRUE(Eventually([this] { return Log().find("stay over a limit") != std::string::npos; }));
  EXPECT_EQ(CacheBytes(), before);
  EXPECT_TRUE(AllSwitched());
  std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
  ExpectSound();
  std::filesystem::rename(dir_ / "elsewhere", dir_ / "store");
  End(*daemon);
}

TEST_F(EvictionTest, WithoutItsStoreNothingOfAContainersImageIsEvicted) {
  ConfigureCache("off", 0, "0%");
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
    ExpectSound();
    daemon->End(SIGTERM);
  }
  std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
  ConfigureCache("off", big_.size() / 4, "0%");
  auto daemon = Start();
  ASSERT_TRUE(Eventually([this] { return Log().find("stay over a limit") != std::string::npos; }));
  ExpectSound();
  std::filesystem::rename(dir_ / "elsewhere", dir_ / "store");
  End(*daemon);
}

// The image would fill the root.
TEST_F(EvictionTest, CompletionEndsBeforeTheDiskIsFullAndReadsGoOn) {
  ASSERT_NO_FATAL_FAILURE(MountSmallRoot());
  ConfigureCache("idle", 0, "50%");
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
    ASSERT_TRUE(Eventually([this] { return Log().find("has no room for") != std::string::npos; }));
    struct statvfs disk {};
    ASSERT_EQ(statvfs(root_.c_str(), &disk), 0);
    EXPECT_GE(disk.f_bavail, disk.f_blocks / 2);
    ExpectSound();
    End(*daemon);
  }
  EXPECT_EQ(umount2(root_.c_str(), MNT_DETACH), 0);
}

TEST_F(EvictionTest, OnAFullDiskContainersReadOnAndItIsToldUntilThereIsRoom) {
  ASSERT_NO_FATAL_FAILURE(MountSmallRoot());
  ConfigureCache("off", 0, "0%");
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
    {
      std::ofstream filler(root_ + "/filler", std::ios::binary);
      while (filler << std::string(4096, '!') << std::flush) {
      }
    }
    EXPECT_TRUE(StatusOf(sock_)["caches"]["failing"].is_null());
    ExpectSound();
    constexpr char kFails[] = "cannot write a blob cache",
                   kAgain[] = "blob caches can be written again";
    // They are written behind the reads.
    ASSERT_TRUE(Eventually([&] { return !StatusOf(sock_)["caches"]["failing"].is_null(); }));
    EXPECT_GT(StatusOf(sock_)["caches"]["failing"]["failed_writes"], 0);
    ExpectSound();
    std::filesystem::remove(root_ + "/filler");
    ExpectSound();  // what it fetches can be written
    EXPECT_TRUE(Eventually([&] { return StatusOf(sock_)["caches"]["failing"].is_null(); }));
    EXPECT_GT(Count(Log(), kFails), 0U);
    EXPECT_EQ(Count(Log(), kAgain), Count(Log(), kFails)) << "each has its end";
    EXPECT_GT(CounterOf(sock_, "cache_failed_writes"), 0U);
    ExpectSound();
    End(*daemon);
  }
  EXPECT_EQ(umount2(root_.c_str(), MNT_DETACH), 0);
}

// What kubelet waits for: the space is there when the image is gone.
TEST_F(EvictionTest, UnderPressureAnImageThatContainerdRemovedGivesItsSpaceBackWithoutACleanup) {
  ConfigureCache("idle", 0, "0%");
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
    ASSERT_TRUE(Eventually([this] { return AllSwitched(); }));
    Unmount();
    daemon->End(SIGTERM);
  }
  ConfigureCache("idle", big_.size() / 4, "0%");
  std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
  auto daemon = Start();
  for (size_t before = SIZE_MAX;;) {
    const std::vector<api::Info> infos = daemon->List();
    if (infos.empty() || infos.size() >= before) break;
    before = infos.size();
    for (const api::Info& info : infos) (void)daemon->Remove(info.name());  // parents come later
  }
  EXPECT_TRUE(Eventually([this] { return std::filesystem::is_empty(root_ + "/blobs"); }));
}

}  // namespace
}  // namespace slacker::testing
