// A keeper that a service manager starts, and starts again with what it has stored.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "tests/support/fake_systemd.h"
#include "tests/support/mount_namespace.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/snapshotter/keeper/keeper_fixture.h"

namespace slacker {
namespace {

using testing::Eventually;
using testing::KeeperTest;
using testing::StatusIs;

class KeeperUnderSystemdTest : public KeeperTest {
 protected:
  void SetUp() override {
    KeeperTest::SetUp();
    std::filesystem::create_directories(run_dir_);
    systemd_.Start(run_dir_ + "/keeper.sock");
  }

  testing::FakeSystemd systemd_{directory_ / "notify", KEEPER_PATH};
};

TEST_F(KeeperUnderSystemdTest, WhatAKilledKeeperHeldComesBackToTheNextOne) {
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", writer.get()));
  ASSERT_OK(client->Put("other", 0));
  ASSERT_OK(client->Drop("other"));
  writer.Reset();
  EXPECT_EQ(systemd_.Stored(), (std::vector<std::string>{"lock", "pipe"}));
  client.reset();
  systemd_.Kill();  // with nobody else who has the pipe
  EXPECT_FALSE(AtEnd(reader));
  systemd_.Start(run_dir_ + "/keeper.sock");
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Options()));
  EXPECT_EQ(*client->List(), (std::vector<std::string>{"lock", "pipe"}));
  ASSERT_OK_AND_ASSIGN(UniqueFd kept, client->Get("pipe"));
  EXPECT_EQ(write(kept.get(), "x", 1), 1);
  kept.Reset();
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
  ASSERT_OK(client->Bye());
  EXPECT_EQ(systemd_.Wait(), 0);
  EXPECT_THAT(systemd_.Stored(), ::testing::IsEmpty());
  EXPECT_TRUE(AtEnd(reader));
}

// Were another one started meanwhile, what is stored would stay where it is.
TEST_F(KeeperUnderSystemdTest, WhoFindsNobodyWaitsForTheUnitsKeeper) {
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", 0));
  client.reset();
  systemd_.Kill();
  KeeperOptions options = Options();
  options.keeper_path = directory_ / "none";  // it cannot be started by anybody else
  options.unit_wait = std::chrono::minutes(1);
  auto opening = std::async(std::launch::async, [&] { return KeeperClient::Open(options); });
  systemd_.Start(run_dir_ + "/keeper.sock");
  auto opened = opening.get();
  ASSERT_OK(opened);
  EXPECT_EQ(*(*opened)->List(), (std::vector<std::string>{"lock", "pipe"}));
  EXPECT_EQ(Keepers(), (std::vector<pid_t>{systemd_.pid()}));
  ASSERT_OK((*opened)->Bye());
  EXPECT_EQ(systemd_.Wait(), 0);
}

TEST_F(KeeperUnderSystemdTest, AnOwnerWhoseKeeperIsKilledGivesItsDescriptorsToTheNextOneOfTheUnit) {
  KeeperOptions options = Options();
  options.keeper_path = directory_ / "none";
  options.unit_wait = std::chrono::minutes(1);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(options));
  ASSERT_OK(client->Put("pipe", 0));
  for (int death = 0; death < 3; ++death) {
    systemd_.Kill();
    systemd_.Start(run_dir_ + "/keeper.sock");
    EXPECT_TRUE(Eventually([&] {
      const auto names = client->List();
      return names.ok() && names->size() == 2;
    }));
    EXPECT_EQ(Keepers(), (std::vector<pid_t>{systemd_.pid()}));
  }
  EXPECT_EQ(systemd_.Stored(), (std::vector<std::string>{"lock", "pipe"}));
  ASSERT_OK(client->Bye());
  EXPECT_EQ(systemd_.Wait(), 0);
}

TEST_F(KeeperUnderSystemdTest, WhereTheUnitStartsNoneWeDoInTheEnd) {
  systemd_.Kill();
  KeeperOptions options = Options();
  options.unit_wait = std::chrono::milliseconds(50);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(options));
  client.reset();
  // That one is nobody's: who finds it killed waits for none.
  ASSERT_EQ(Keepers().size(), 1U);
  ASSERT_EQ(kill(Keepers()[0], SIGKILL), 0);
  EXPECT_TRUE(Eventually([this] { return Keepers().empty(); }));
  options.keeper_path = directory_ / "none";
  options.unit_wait = std::chrono::hours(1);
  EXPECT_THAT(KeeperClient::Open(options), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(KeeperUnderSystemdTest, NobodyWaitsForAUnitThatHasEndedByItself) {
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Bye());
  EXPECT_EQ(systemd_.Wait(), 0);
  client.reset();
  KeeperOptions options = Options();
  options.keeper_path = directory_ / "none";
  options.unit_wait = std::chrono::hours(1);
  EXPECT_THAT(KeeperClient::Open(options), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(KeeperUnderSystemdTest, WhoFindsAKeeperThatHasFailedWaitsForTheNextOneOfTheUnit) {
  const rlimit none{0, 0};  // it can wait for nothing any more
  ASSERT_EQ(prlimit(systemd_.pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  EXPECT_FALSE(KeeperClient::Open({root_, run_dir_, directory_ / "none", 5}).ok());
  const int status = systemd_.Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
  KeeperOptions options = Options();
  options.keeper_path = directory_ / "none";
  options.unit_wait = std::chrono::minutes(1);
  auto opening = std::async(std::launch::async, [&] { return KeeperClient::Open(options); });
  systemd_.Start(run_dir_ + "/keeper.sock");
  auto opened = opening.get();
  ASSERT_OK(opened);
  ASSERT_OK((*opened)->Bye());
  EXPECT_EQ(systemd_.Wait(), 0);
}

TEST_F(KeeperTest, OnAFullFileSystemTheUnitsKeeperServes) {
  std::filesystem::create_directories(run_dir_);
  testing::EnterOwnMountNamespace();
  ASSERT_EQ(mount("tmpfs", run_dir_.c_str(), "tmpfs", 0, "size=64k"), 0);
  {
    std::ofstream filler(run_dir_ + "/filler");
    while (filler << std::string(4096, 'x') << std::flush) {
    }
  }
  testing::FakeSystemd systemd(directory_ / "notify", KEEPER_PATH);
  systemd.Start(run_dir_ + "/keeper.sock");
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", 0));
  client.reset();
  systemd.Kill();
  systemd.Start(run_dir_ + "/keeper.sock");
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Options()));
  EXPECT_EQ(*client->List(), (std::vector<std::string>{"lock", "pipe"}));
  ASSERT_OK(client->Bye());
  EXPECT_EQ(systemd.Wait(), 0);
  EXPECT_EQ(umount2(run_dir_.c_str(), 0), 0);
}

}  // namespace
}  // namespace slacker
