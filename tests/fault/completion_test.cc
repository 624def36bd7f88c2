// Images that became complete while the node had nothing else to do: slackerd and its keeper are
// killed, all caches of the kernel dropped, and containers read on. And slackerd killed at every
// step on the way there. And what the same two deaths do to an image that is not complete.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "tests/fault/remote_fixture.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

class CompletionTest : public RemoteFixture {
 protected:
  void SetUp() override {
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(store);
    SampleLayer lower = MakeBigLayer(600, 1);
    AddSampleFile(&lower, 0, "lower", kLower);
    image_ = Publish(std::shared_ptr<Backend>(*std::move(store)), {lower, MakeBigLayer(5, 2)});
    Configure("store.url", "loopback:" + (dir_ / "store"));
    ConfigureRaw("store.budget_ms", "30000");  // machines may be slow
  }
  void TearDown() override {
    (void)umount2(another_.c_str(), MNT_DETACH);
    (void)umount2(merged_.c_str(), MNT_DETACH);
    DaemonFixture::TearDown();
  }

  // A container on the image, mounted. Goes on where the daemon is gone; false then.
  bool StartContainer(Daemon& daemon, const std::string& key) {
    top_ = Pull(daemon, key);
    return !top_.empty() && MountContainer(daemon, key, merged_);
  }
  // One on the image that is here.
  bool MountContainer(Daemon& daemon, const std::string& key, const std::string& target) {
    if (!daemon.Prepare(key, top_).ok()) return false;
    std::string data;
    for (const std::string& option : daemon.mounts().front().options()) {
      data += (data.empty() ? "" : ",") + option;
    }
    std::filesystem::create_directories(target);
    return ::mount("overlay", target.c_str(), "overlay", 0, data.c_str()) == 0;
  }
  bool AllSwitched() { return LoopsBelow(root_ + "/blobs") > 0 && LoopsBelow(run_dir_) == 0; }
  static constexpr size_t kTopChunks = 6;
  static constexpr char kLower[] = "of the layer below";

  static void DropKernelCaches() {
    sync();
    std::ofstream("/proc/sys/vm/drop_caches") << "3";
  }
  std::string Big() const {
    const std::vector<std::string>& chunks = image_.layers.back().chunks;
    std::string big;
    for (size_t i = chunks.size() - kTopChunks; i < chunks.size(); ++i) big += chunks[i];
    return big;
  }
  // Reads what the image shows of both layers, from the disk.
  void ExpectSound() { ExpectSoundAt(merged_); }
  void ExpectSoundAt(const std::string& target) {
    DropKernelCaches();
    EXPECT_TRUE(ReadWholeFile(target + "/big") == Big());
    EXPECT_EQ(ReadWholeFile(target + "/lower"), kLower);
  }
  bool HasPassed(const std::string& step) {
    std::ifstream lines(dir_ / "trace");
    for (std::string line; std::getline(lines, line);) {
      if (line == step) return true;
    }
    return false;
  }
  // Each reads at random, again and again, dropping what it has read: from the file before a switch,
  // during it, and behind it.
  void StartReaders() {
    std::filesystem::remove(dir_ / "enough");
    std::ofstream(dir_ / "reference") << Big();
    for (int seed = 1; seed <= 32; ++seed) {
      readers_.push_back(std::make_unique<LineProcess>(
          std::vector<std::string>{RANDOM_READER, merged_ + "/big", dir_ / "reference", "0",
                                   std::to_string(seed), dir_ / "enough"}));
    }
  }
  void EndReaders() {
    std::ofstream(dir_ / "enough") << "";
    for (const auto& reader : readers_) EXPECT_EQ(reader->Wait(), 0);
    readers_.clear();
  }
  void KillKeeper() {
    for (const pid_t pid : ProcessesBelow(run_dir_)) (void)kill(pid, SIGKILL);
    EXPECT_TRUE(Eventually([this] { return ProcessesBelow(run_dir_).empty(); }));
  }
  void End(Daemon& daemon) {
    EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
    const grpc::Status removed = RemoveAll(daemon);
    EXPECT_TRUE(removed.ok()) << removed.error_message();
    // Loop devices clear themselves in the kernel's own time.
    EXPECT_TRUE(Eventually(
        [&] { return daemon.Cleanup().ok() && std::filesystem::is_empty(root_ + "/blobs"); }));
  }

  const std::string merged_ = dir_ / "merged", another_ = dir_ / "another";
  std::string top_;
  std::vector<std::unique_ptr<LineProcess>> readers_;
};

TEST_F(CompletionTest, ACompleteImageIsReadWithoutSlackerdKeeperAndStore) {
  {
    auto daemon = Start();
    ASSERT_TRUE(StartContainer(*daemon, "container"));
    ASSERT_TRUE(Eventually([this] { return AllSwitched(); }));
    daemon->End(SIGKILL);
  }
  KillKeeper();
  std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
  ExpectSound();

  std::filesystem::rename(dir_ / "elsewhere", dir_ / "store");
  auto daemon = Start();
  ASSERT_TRUE(daemon->running());
  EXPECT_TRUE(AllSwitched()) << "a new connection changes nothing for it";
  ASSERT_TRUE(daemon->Prepare("another", top_).ok());
  EXPECT_TRUE(AllSwitched());
  ExpectSound();
  End(*daemon);
}

TEST_F(CompletionTest, ACleanStopEndsTheKeeperToo) {
  auto daemon = Start();
  ASSERT_TRUE(StartContainer(*daemon, "container"));
  ASSERT_TRUE(Eventually([this] { return AllSwitched(); }));
  EXPECT_EQ(daemon->End(SIGTERM), 0);
  EXPECT_TRUE(Eventually([this] { return ProcessesBelow(run_dir_).empty(); }));
  ExpectSound();
  daemon = Start();
  End(*daemon);
}

// Nobody holds the FUSE connection any more: the kernel ends it.
TEST_F(CompletionTest, WithoutSlackerdAndKeeperWhatIsNotCompleteIsAnErrorUntilTheNextStart) {
  Configure("cache.complete", "off");
  {
    auto daemon = Start();
    ASSERT_TRUE(StartContainer(*daemon, "container"));
    ASSERT_EQ(ReadWholeFile(merged_ + "/lower"), kLower);
    daemon->End(SIGKILL);  // first, or it would replace its keeper
  }
  KillKeeper();
  EXPECT_EQ(ReadWholeFile(merged_ + "/big"), "unreadable");
  DropKernelCaches();
  EXPECT_EQ(ReadWholeFile(merged_ + "/big"), "unreadable");
  EXPECT_THAT(ReadWholeFile(merged_ + "/lower"),
              ::testing::AnyOf(std::string("unreadable"), std::string(kLower)));

  auto daemon = Start();
  ASSERT_TRUE(daemon->running());
  EXPECT_TRUE(Eventually([this] {
    return ReadWholeFile(merged_ + "/big") == Big() && ReadWholeFile(merged_ + "/lower") == kLower;
  })) << "nobody has asked for the image since the start";
  ExpectSound();
  ASSERT_TRUE(MountContainer(*daemon, "of the next", another_));
  ExpectSoundAt(another_);
  EXPECT_EQ(umount2(another_.c_str(), 0), 0);
  End(*daemon);
}

TEST_F(CompletionTest, DeathAtEveryStepOfCompletionHarmsNoReader) {
  for (const char* step : {"complete.fetched", "complete.verified", "blob_cache.sealed",
                           "complete.sealed", "switch.begin", "attach.before_change",
                           "attach.changed", "switch.one", "switch.end", "complete.switched"}) {
    SCOPED_TRACE(step);
    std::filesystem::remove_all(root_);
    {
      std::filesystem::remove(dir_ / "trace");
      auto daemon = Start({std::string("SLACKER_FAILPOINT=") + step,
                           "SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")});
      ASSERT_TRUE(StartContainer(*daemon, "container"));
      StartReaders();
      ASSERT_TRUE(Eventually([&] { return HasPassed(step); }));
      daemon->End(SIGKILL);  // the steps in the helper end only that
    }
    auto successor = Start();
    ASSERT_TRUE(successor->running());
    ExpectSound();
    EXPECT_TRUE(Eventually([this] { return AllSwitched(); }));
    ExpectSound();
    EndReaders();
    End(*successor);
    EXPECT_EQ(successor->End(SIGTERM), 0);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace slacker::testing
