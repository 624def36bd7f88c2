// A keeper that another program takes the place of, and what it hands over.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <filesystem>

#include "cmd/slackerd-keeper/keeper_state.h"
#include "snapshotter/keeper/packet.h"
#include "snapshotter/keeper/protocol.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/snapshotter/keeper/keeper_fixture.h"

namespace slacker {
namespace {

using testing::Eventually;
using testing::KeeperTest;
using testing::StatusIs;

class KeeperReplacedTest : public KeeperTest {
 protected:
  void SetUp() override {
    KeeperTest::SetUp();
    // Another file: another program.
    std::filesystem::copy_file(KEEPER_PATH, newer_);
  }
  KeeperOptions Newer() {
    KeeperOptions options = Options();
    options.keeper_path = newer_;
    return options;
  }
  static std::string ProgramOf(pid_t pid) {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe");
  }

  const std::string newer_ = directory_ / "slackerd-keeper";
};

TEST_F(KeeperReplacedTest, ANewerProgramGoesOnWithAllThatTheOldOneHeld) {
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", writer.get()));
  writer.Reset();
  const std::vector<pid_t> keepers = Keepers();
  ASSERT_EQ(keepers.size(), 1U);
  client.reset();
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Newer()));
  EXPECT_EQ(Keepers(), keepers) << "the same process";
  EXPECT_EQ(ProgramOf(keepers[0]), newer_);
  EXPECT_FALSE(AtEnd(reader));
  EXPECT_EQ(*client->List(), (std::vector<std::string>{"lock", "pipe"}));
  EXPECT_OK(client->Get("pipe"));
  ASSERT_OK(client->Drop("pipe"));
  EXPECT_TRUE(Eventually([&] { return AtEnd(reader); })) << "there is no other copy";
  EXPECT_THAT(KeeperClient::Open(Newer()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "is in use by PID"));
  ASSERT_OK(client->Bye());
  ExpectKeeperEnds();
}

TEST_F(KeeperReplacedTest, OtherConnectionsNoticeNothing) {
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (run_dir_ + "/keeper.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  const UniqueFd waiting(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(waiting.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto acquire = [&waiting] {
    keeper::Reply reply;
    UniqueFd fd;
    EXPECT_EQ(keeper::SendPacket(waiting.get(), keeper::Request(), -1), 0);
    EXPECT_EQ(keeper::ReceivePacket(waiting.get(), &reply, &fd), 0);
    return reply.error;
  };
  EXPECT_EQ(acquire(), EBUSY);
  client.reset();
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Newer()));
  EXPECT_EQ(ProgramOf(Keepers()[0]), newer_);
  EXPECT_EQ(acquire(), EBUSY);
  client.reset();
  EXPECT_TRUE(Eventually([&] { return acquire() == 0; }));
  keeper::Request bye;
  bye.verb = keeper::Verb::kBye;
  EXPECT_EQ(keeper::SendPacket(waiting.get(), bye, -1), 0);
  ExpectKeeperEnds();
}

TEST_F(KeeperReplacedTest, WhatIsNoProgramLeavesTheKeeperAsItWas) {
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", 0));
  client.reset();
  testing::WriteWholeFile(newer_, "not a program");
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Newer()));
  EXPECT_EQ(ProgramOf(Keepers()[0]), std::filesystem::canonical(KEEPER_PATH));
  EXPECT_OK(client->Get("pipe"));
  ASSERT_OK(client->Bye());
}

// It begins, refuses the state of the keeper before, and ends; started anew it is a sound keeper.
TEST_F(KeeperReplacedTest, WhatAReplacementCannotTakeOverGoesToTheNextKeeper) {
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", writer.get()));
  writer.Reset();
  const std::vector<pid_t> keepers = Keepers();
  client.reset();
  KeeperOptions refusing = Options();
  refusing.keeper_path = REFUSING_KEEPER;
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(refusing));
  ASSERT_EQ(Keepers().size(), 1U);
  EXPECT_NE(Keepers(), keepers) << "it ended over it";
  EXPECT_FALSE(AtEnd(reader));
  EXPECT_EQ(*client->List(), (std::vector<std::string>{"lock", "pipe"}));
  // Also should that one be killed.
  const std::vector<pid_t> second = Keepers();
  ASSERT_EQ(kill(second[0], SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] {
    const auto names = client->List();
    return names.ok() && names->size() == 2 && Keepers() != second;
  }));
  EXPECT_FALSE(AtEnd(reader));
  ASSERT_OK(client->Drop("pipe"));
  EXPECT_TRUE(AtEnd(reader)) << "nobody has another copy";
  ASSERT_OK(client->Bye());
  ExpectKeeperEnds();
}

TEST(KeeperStateTest, ComesOutAsItWentIn) {
  keeper::KeeperState state;
  state.listener = 4;
  state.lock = 3;
  state.deadline_seconds = 300;
  state.unserved_since_ns = 12345678901234;
  state.clients = {{7, 1234, true, false}, {8, 99, false, true}};
  state.kept = {{9, "fuse.1"}, {10, "lock"}};
  const std::string text = EncodeState(state);
  keeper::KeeperState again;
  ASSERT_TRUE(DecodeState(text, &again));
  EXPECT_EQ(EncodeState(again), text);
}

TEST(KeeperStateTest, WhatIsNotKnownIsRefused) {
  keeper::KeeperState state;
  for (const char* text :
       {"", "slacker-keeper-state 2\nlistener 3\nlock 4\n", "slacker-keeper-state 1\nlistener 3\n",
        "slacker-keeper-state 1\nlistener 3\nlock 4\nnews 5\n",
        "slacker-keeper-state 1\nlistener 3\nlock four\n",
        "slacker-keeper-state 1\nlistener 3\nlock 4\nkept 5\n",
        "slacker-keeper-state 1\nlistener 3 4\nlock 4\n"}) {
    EXPECT_FALSE(DecodeState(text, &state)) << text;
  }
}

}  // namespace
}  // namespace slacker
