#include "cmd/slackerd-keeper/keeper.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>

#include "snapshotter/keeper/keeper_client.h"
#include "snapshotter/keeper/packet.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/snapshotter/keeper/keeper_fixture.h"

#ifndef __has_feature
#define __has_feature(name) 0
#endif

namespace slacker {
namespace {

constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);

using testing::Eventually;
using testing::KeeperTest;
using testing::StatusIs;

class OwnerDeadlineTest : public ::testing::Test {
 protected:
  void PassSeconds(int seconds) { now_ += std::chrono::seconds(seconds); }
  // An owner that lives for so long.
  void Own(int seconds) {
    deadline_.OwnerCame(now_);
    PassSeconds(seconds);
    deadline_.OwnerWent(now_);
  }
  int64_t SecondsLeft() const {
    return std::chrono::duration_cast<std::chrono::seconds>(deadline_.Left(now_)).count();
  }

  keeper::OwnerDeadline::TimePoint now_{std::chrono::hours(1)};
  keeper::OwnerDeadline deadline_{std::chrono::seconds(300), now_};
};

TEST_F(OwnerDeadlineTest, CountsFromTheStartAndFromTheEndOfAnOwner) {
  PassSeconds(100);
  EXPECT_EQ(SecondsLeft(), 200);
  Own(1000);
  EXPECT_EQ(SecondsLeft(), 300);
  PassSeconds(301);
  EXPECT_EQ(SecondsLeft(), 0);
}

TEST_F(OwnerDeadlineTest, OwnersThatEndAtTheirStartDoNotMoveIt) {
  Own(1000);
  for (int i = 0; i < 29; ++i) {
    Own(9);
    PassSeconds(1);
  }
  EXPECT_EQ(SecondsLeft(), 10);
  Own(10);
  EXPECT_EQ(SecondsLeft(), 300);
}

// Killed over and over, and what containers read arrives all the same.
TEST_F(OwnerDeadlineTest, OwnersThatHaveAnsweredSomebodyMoveItHoweverShortTheyLived) {
  for (int i = 0; i < 100; ++i) {
    PassSeconds(4);
    deadline_.OwnerCame(now_);
    PassSeconds(2);
    deadline_.OwnerServes(now_);
    deadline_.OwnerWent(now_);
    EXPECT_EQ(SecondsLeft(), 300);
  }
  Own(2);  // what one has done is not the next one's
  EXPECT_EQ(SecondsLeft(), 298);
}

TEST_F(KeeperTest, DescriptorsOutliveTheirOwner) {
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  {
    ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
    ASSERT_OK(client->Put("pipe", writer.get()));
    writer.Reset();
  }
  EXPECT_FALSE(AtEnd(reader));
  ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
  EXPECT_THAT(client->List(), testing::IsOk());
  EXPECT_EQ(*client->List(), (std::vector<std::string>{"lock", "pipe"}));
  ASSERT_OK_AND_ASSIGN(UniqueFd kept, client->Get("pipe"));
  EXPECT_EQ(write(kept.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
  kept.Reset();
  ASSERT_OK(client->Drop("pipe"));
  EXPECT_TRUE(AtEnd(reader));
  EXPECT_THAT(client->Get("pipe"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(client->Bye());
  ExpectKeeperEnds();
}

TEST_F(KeeperTest, SecondOwnerIsRefusedWhileTheFirstLives) {
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  EXPECT_THAT(KeeperClient::Open(Options()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "is in use by PID " + std::to_string(getpid())));
  ASSERT_OK(client->List());
  client.reset();
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Bye());
}

TEST_F(KeeperTest, LockAloneRefusesASecondOwner) {
  ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
  KeeperOptions elsewhere = Options(3600);  // what was started for nothing does not wait for it
  elsewhere.run_dir = directory_ / "other";
  EXPECT_THAT(KeeperClient::Open(elsewhere),
              StatusIs(absl::StatusCode::kFailedPrecondition, "is in use"));
  ASSERT_OK(client->Bye());
  EXPECT_TRUE(Eventually(
      [&] { return testing::ProcessesWith(elsewhere.run_dir + "/keeper.sock").empty(); }));
}

TEST_F(KeeperTest, KilledKeeperIsReplacedWithAllItHeld) {
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options()));
  ASSERT_OK(client->Put("pipe", writer.get()));
  writer.Reset();
  const std::vector<pid_t> first = Keepers();
  ASSERT_EQ(first.size(), 1U);
  ASSERT_EQ(kill(first[0], SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] {
    const auto names = client->List();
    return names.ok() && names->size() == 2 && Keepers() != first;
  }));
  client.reset();
  EXPECT_FALSE(AtEnd(reader));
  ASSERT_OK_AND_ASSIGN(client, KeeperClient::Open(Options()));
  EXPECT_OK(client->Get("pipe"));
  ASSERT_OK(client->Bye());
}

// As of a program that waits for its signals itself, which slackerd is.
TEST_F(KeeperTest, TerminationIsNotBlockedByWhoStartedIt) {
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &term, &before), 0);
  auto client = KeeperClient::Open(Options());
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  ASSERT_OK(client);
  const std::vector<pid_t> first = Keepers();
  ASSERT_EQ(first.size(), 1U);
  ASSERT_EQ(kill(first[0], SIGTERM), 0);
  EXPECT_TRUE(Eventually([&] { return (*client)->List().ok() && Keepers() != first; }))
      << "it ends, and is replaced";
  ASSERT_OK((*client)->Bye());
}

TEST_F(KeeperTest, DeadlineWithoutOwnerClosesEverything) {
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options(1)));
  ASSERT_OK(client->Put("pipe", writer.get()));
  writer.Reset();
  EXPECT_FALSE(AtEnd(reader));
  client.reset();
  EXPECT_TRUE(Eventually([&] { return AtEnd(reader); }));
  ExpectKeeperEnds();
}

// It has lived for less than ten seconds, and the deadline of the keeper's start has passed.
TEST_F(KeeperTest, AnOwnerThatServesSetsTheDeadlineAnew) {
  constexpr std::chrono::seconds kDeadline{5};
  const auto start = std::chrono::steady_clock::now();
  const auto wait_until = [](auto time) {
    EXPECT_TRUE(Eventually([time] { return std::chrono::steady_clock::now() > time; }));
  };
  UniqueFd writer;
  const UniqueFd reader = MakePipe(&writer);
  ASSERT_OK_AND_ASSIGN(auto client, KeeperClient::Open(Options(kDeadline.count())));
  ASSERT_OK(client->Put("pipe", writer.get()));
  writer.Reset();
  ASSERT_OK_AND_ASSIGN(const UniqueFd serving, client->ServingEvent());
  wait_until(start + kDeadline);
  ASSERT_EQ(eventfd_write(serving.get(), 1), 0);
  // The keeper has been told when it is empty.
  EXPECT_TRUE(Eventually([&] {
    pollfd told{serving.get(), POLLIN, 0};
    return poll(&told, 1, 0) == 0;
  }));
  client.reset();
  wait_until(std::chrono::steady_clock::now() + std::chrono::seconds(1));
  EXPECT_FALSE(AtEnd(reader));
  EXPECT_TRUE(Eventually([&] { return AtEnd(reader); }));
  ExpectKeeperEnds();
}

TEST_F(KeeperTest, TooManyAndTooLongNamesAreRefused) {
  ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
  for (size_t i = 1; i < keeper::kMaxDescriptors; ++i) {
    ASSERT_OK(client->Put(std::to_string(i), 0));
  }
  EXPECT_THAT(client->Put("one-more", 0), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(client->Put(std::string(keeper::kNameBytes, 'x'), 0),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client->Put("with blank", 0), StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(client->List()->size(), keeper::kMaxDescriptors);
  ASSERT_OK(client->Bye());
}

TEST_F(KeeperTest, StrangePacketsAreRefusedAndHarmless) {
  ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = run_dir_ + "/keeper.sock";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const auto connect_raw = [&address] {
    UniqueFd raw(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(raw.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return raw;
  };
  const UniqueFd polite = connect_raw();
  keeper::Request request;
  keeper::Reply reply;
  UniqueFd fd;
  request.verb = keeper::Verb::kBye;  // without being the owner
  EXPECT_EQ(keeper::SendPacket(polite.get(), request, -1), 0);
  EXPECT_EQ(keeper::ReceivePacket(polite.get(), &reply, &fd), 0);
  EXPECT_EQ(reply.error, EPERM);
  request.version = 99;
  EXPECT_EQ(keeper::SendPacket(polite.get(), request, -1), 0);
  EXPECT_EQ(keeper::ReceivePacket(polite.get(), &reply, &fd), 0);
  EXPECT_EQ(reply.error, EPROTO);
  EXPECT_EQ(reply.version, keeper::kVersion);
  const UniqueFd rude = connect_raw();
  EXPECT_EQ(send(rude.get(), "hello", 5, MSG_NOSIGNAL), 5);
  EXPECT_NE(keeper::ReceivePacket(rude.get(), &reply, &fd), 0);
  EXPECT_OK(client->List());
  ASSERT_OK(client->Bye());
}

// Whoever ends the session that slackerd was started from, a terminal say, does not end the keeper.
TEST_F(KeeperTest, ItIsInASessionOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
  ASSERT_EQ(Keepers().size(), 1U);
  const pid_t keeper = Keepers()[0];
  EXPECT_EQ(getsid(keeper), keeper);
  EXPECT_EQ(getpgid(keeper), keeper);
  ASSERT_OK(client->Bye());
}

// What the keeper must have when memory is short.
TEST_F(KeeperTest, ItIsLockedIntoMemoryAndTheLastToBeKilledForMemory) {
  ASSERT_OK_AND_ASSIGN(const auto client, KeeperClient::Open(Options()));
  ASSERT_EQ(Keepers().size(), 1U);
  const std::string process = "/proc/" + std::to_string(Keepers()[0]);
  // Some machines do not let even root have that.
  const bool permitted = std::system("echo -999 2> /dev/null > /proc/self/oom_score_adj") == 0;
  const std::string expected = permitted ? "-999\n" : "0\n";
  EXPECT_TRUE(Eventually([&] {
    return testing::ReadWholeFile(process + "/oom_score_adj") == expected;
  })) << expected;
  const auto kib = [&process](const std::string& field) {
    const std::string status = testing::ReadWholeFile(process + "/status");
    const size_t at = status.find("\n" + field + ":");
    return at == std::string::npos ? 0 : std::atol(status.c_str() + at + field.size() + 2);
  };
  if (kSanitized) {
    std::puts("Sanitizers leave out mlock(2): nothing to be seen of it here.");
  } else {
    EXPECT_GT(kib("VmLck"), 0);
    EXPECT_LT(kib("VmRSS"), 8 << 10) << "it is to be tiny";
  }
  EXPECT_EQ(kib("VmSwap"), 0);
  RecordProperty("rss_kib", static_cast<int>(kib("VmRSS")));
  ASSERT_OK(client->Bye());
}

TEST(KeeperOptionsTest, AKeeperWaitsForFiveMinutesUnlessItIsToldOtherwise) {
  EXPECT_EQ(KeeperOptions().deadline_seconds, 300);
}

TEST(RootRunDirTest, DependsOnTheCanonicalPathOnly) {
  testing::TempDir directory;
  std::filesystem::create_directories(directory / "a/b");
  ASSERT_OK_AND_ASSIGN(const std::string plain, RootRunDir("/run/x", directory / "a"));
  ASSERT_OK_AND_ASSIGN(const std::string winding, RootRunDir("/run/x", directory / "a/b/.."));
  EXPECT_EQ(plain, winding);
  EXPECT_EQ(plain.size(), std::string("/run/x/").size() + 16);
  EXPECT_THAT(RootRunDir("/run/x", directory / "none"), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace slacker
