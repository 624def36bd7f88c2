// slackerd is replaced by another version under reading containers: a newer one, the older one again,
// one whose state the older one cannot use. No read fails, no byte is wrong; what a version may not
// use it leaves alone, down to the keeper. The newer versions are today's programs with more steps of
// the schema, and with a keeper of version 2 whose state today's keeper cannot read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/digest.h"
#include "tests/fault/container_fixture.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kNext = "SLACKER_TEST_NEXT_STEPS=1", kFar = "SLACKER_TEST_NEXT_STEPS=2";

class VersionsTest : public ContainerFixture {
 protected:
  void SetUp() override {
    SampleLayer layer = MakeBigLayer(2000, 1);
    for (unsigned i = 0; i < 2 * kRounds; ++i) {
      AddSampleFile(&layer, 0, ColdFile(i), "of end " + std::to_string(i));
      WriteWholeFile(dir_ / ColdFile(i), "of end " + std::to_string(i));
    }
    PublishLayers({layer}, 2001, 2 * kRounds);
    Configure("cache.complete", "off");
  }
  void StartReaders() {
    for (int i = 0; i < 4; ++i) {
      readers_.push_back(StartReader(0, ++seed_, "20"));
    }
  }
  // The same, and one of what only the store has, which is away: slackerd has a request that it
  // cannot answer.
  bool StartReadersThatWait() {
    std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
    StartReaders();
    const std::string cold = ColdFile(ends_++);
    readers_.push_back(std::make_unique<LineProcess>(
        std::vector<std::string>{"/usr/bin/cmp", merged_ + "/" + cold, dir_ / cold}));
    return Eventually([this] { return CounterOf(sock_, "fill_retries") > 0; });
  }
  // Beneath those, whose store comes back.
  void EndBeneath(Daemon& daemon, int signal) {
    const int status = daemon.End(signal);
    if (signal == SIGTERM) {
      EXPECT_EQ(status, 0);
    }
    std::filesystem::rename(dir_ / "elsewhere", dir_ / "store");
  }
  void ExpectReadersRight() {
    for (const auto& reader : readers_) EXPECT_EQ(reader->Wait(), 0);
    readers_.clear();
  }
  // Of the slackerd that runs.
  std::vector<std::string> Keepers() {
    std::vector<std::string> programs;
    for (const pid_t pid : ProcessesWithText("/keeper.sock")) {
      const std::string process = "/proc/" + std::to_string(pid);
      if (ReadWholeFile(process + "/cmdline").find(run_dir_) == std::string::npos) continue;
      programs.push_back(std::filesystem::read_symlink(process + "/exe"));
    }
    return programs;
  }
  // What is in the root, byte by byte.
  std::map<std::string, Digest> Root() {
    std::map<std::string, Digest> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      const std::string path = entry.path();
      if (path.ends_with("-shm") || path.find("/snapshots/i") != std::string::npos) continue;
      files[path] = entry.is_regular_file() ? Sha256::Of(ReadWholeFile(path)) : Digest();
    }
    return files;
  }

  static constexpr unsigned kRounds = 3;
  static std::string ColdFile(unsigned end) { return "cold" + std::to_string(end); }

  const std::string today_keeper_ = std::filesystem::canonical(KEEPER_PATH);
  const std::string next_keeper_ = std::filesystem::canonical(NEXT_KEEPER);
  int seed_ = 0;
  unsigned ends_ = 0;
  std::vector<std::unique_ptr<LineProcess>> readers_;
};

TEST_F(VersionsTest, ReadersNoticeNeitherUpgradeNorDowngrade) {
  auto daemon = Start();
  ASSERT_TRUE(MountContainer(*daemon, "container"));
  EXPECT_THAT(Keepers(), ::testing::ElementsAre(today_keeper_));
  uint64_t resent = 0;
  for (unsigned round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    ASSERT_TRUE(StartReadersThatWait());
    EndBeneath(*daemon, round == 1 ? SIGTERM : SIGKILL);  // as in an orderly upgrade, once
    daemon = StartProgram(NEXT_SLACKERD, {kNext});
    ASSERT_TRUE(daemon->running());
    EXPECT_THAT(Keepers(), ::testing::ElementsAre(next_keeper_));
    ASSERT_TRUE(daemon->Prepare("of next " + std::to_string(round), "").ok());
    ExpectReadersRight();
    resent += CounterOf(sock_, "fuse_resent");
    // What the next version has, today's goes on with; what its keeper holds, too.
    ASSERT_TRUE(StartReadersThatWait());
    EndBeneath(*daemon, SIGKILL);
    daemon = Start();
    ASSERT_TRUE(daemon->running());
    EXPECT_THAT(Keepers(), ::testing::ElementsAre(today_keeper_));
    ASSERT_TRUE(daemon->Prepare("of today " + std::to_string(round), "").ok());
    ASSERT_TRUE(daemon->Remove("of next " + std::to_string(round)).ok());
    ExpectReadersRight();
    resent += CounterOf(sock_, "fuse_resent");
  }
  EXPECT_GE(resent, 2 * kRounds) << "each had a request that it could not answer";
  EXPECT_EQ(daemon->List().size(), 2 + kRounds);  // the image's, the container's, and today's
  EXPECT_TRUE(ReadWholeFile(merged_ + "/big") == big_);
  Unmount();
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

TEST_F(VersionsTest, AVersionThatMayNotUseTheStateLeavesItAloneAndReadersWaitForOneThatMay) {
  auto daemon = Start();
  ASSERT_TRUE(MountContainer(*daemon, "container"));
  daemon->End(SIGKILL);
  daemon = StartProgram(NEXT_SLACKERD, {kFar});
  ASSERT_TRUE(daemon->running());
  StartReaders();
  daemon->End(SIGKILL);
  const auto before = Root();
  for (const std::string& older : {std::string(SLACKERD_PATH), std::string(NEXT_SLACKERD)}) {
    SCOPED_TRACE(older);
    auto refused = StartProgram(older, {kNext});
    EXPECT_FALSE(refused->running());
    EXPECT_EQ(WEXITSTATUS(refused->Wait()), 1);
    EXPECT_THAT(Keepers(), ::testing::ElementsAre(next_keeper_));
  }
  EXPECT_THAT(Log(),
              HasSubstr("database has schema version 6, this program knows versions up to 4"));
  EXPECT_THAT(Log(), HasSubstr("from 6 on it can be used"));
  EXPECT_TRUE(Root() == before);
  daemon = StartProgram(NEXT_SLACKERD, {kFar});
  ASSERT_TRUE(daemon->running());
  ExpectReadersRight();
  EXPECT_TRUE(ReadWholeFile(merged_ + "/big") == big_);
  Unmount();
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

}  // namespace
}  // namespace slacker::testing
