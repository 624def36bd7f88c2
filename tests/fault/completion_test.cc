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

#include "tests/fault/container_fixture.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

class CompletionTest : public ContainerFixture {
 protected:
  void SetUp() override {
    SampleLayer lower = MakeBigLayer(600, 1);
    AddSampleFile(&lower, 0, "lower", kLower);
    PublishLayers({lower, MakeBigLayer(5, 2)}, 6);
  }
  void TearDown() override {
    (void)umount2(another_.c_str(), MNT_DETACH);
    ContainerFixture::TearDown();
  }

  static constexpr char kLower[] = "of the layer below";

  // Reads what the image shows of both layers, from the disk.
  void ExpectSound() { ExpectSoundAt(merged_); }
  void ExpectSoundAt(const std::string& target) {
    DropKernelCaches();
    EXPECT_TRUE(ReadWholeFile(target + "/big") == big_);
    EXPECT_EQ(ReadWholeFile(target + "/lower"), kLower);
  }
  // Each reads at random, again and again, dropping what it has read: from the file before a switch,
  // during it, and behind it.
  void StartReaders() {
    std::filesystem::remove(dir_ / "enough");
    for (int seed = 1; seed <= 32; ++seed) {
      readers_.push_back(StartReader(0, seed, dir_ / "enough"));
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

  const std::string another_ = dir_ / "another";
  std::vector<std::unique_ptr<LineProcess>> readers_;
};

TEST_F(CompletionTest, ACompleteImageIsReadWithoutSlackerdKeeperAndStore) {
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
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
  ASSERT_TRUE(MountContainer(*daemon, "container"));
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
    ASSERT_TRUE(MountContainer(*daemon, "container"));
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
    return ReadWholeFile(merged_ + "/big") == big_ && ReadWholeFile(merged_ + "/lower") == kLower;
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
    top_.clear();
    {
      std::filesystem::remove(dir_ / "trace");
      auto daemon = Start(DyingAt(step));
      ASSERT_TRUE(MountContainer(*daemon, "container"));
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
