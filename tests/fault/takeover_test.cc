// What happens to readers when servers, keepers and helpers die. The server under test is another
// process (takeover_server), so that this one can read its trees.
#include <sys/mount.h>

#include <chrono>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/fault/takeover_fixture.h"
#include "tests/support/fake_systemd.h"

namespace slacker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(TakeoverTest, ReadersNeverNoticeThatServersDie) {
  constexpr int kFiles = 1000;
  constexpr int kDeaths = 24;
  constexpr long kReadsPerServer = 40;
  const ErofsSample sample(directory_.path(), kFiles, 20000);
  auto server = StartReady(sample, false, kReadsPerServer);
  Readers readers(sample, tree_, kFiles, 8);
  uint64_t resent = 0;
  for (int death = 1; death <= kDeaths; ++death) {
    ASSERT_TRUE(WaitUntilHolding(server.get())) << "after " << death - 1 << " deaths";
    server->Say("counters");
    const std::string counters = Next(server.get());
    ASSERT_THAT(counters, StartsWith("resent="));
    resent += std::stoull(counters.substr(std::string("resent=").size()));
    server->Kill();
    server = StartReady(sample, true, death == kDeaths ? 1'000'000'000 : kReadsPerServer);
    ASSERT_FALSE(HasFailure()) << "after " << death << " deaths";  // nobody reads any more
  }
  readers.Join();
  EXPECT_EQ(readers.right(), kFiles);
  EXPECT_EQ(readers.wrong(), 0);
  EXPECT_EQ(readers.failed(), 0);
  EXPECT_GE(resent, uint64_t{kDeaths} - 1);  // each was holding some when it died
  Finish(server.get());
}

TEST_F(TakeoverTest, ServerAndKeeperDyingTogetherGiveErrorsAndTheNextStartHeals) {
  constexpr int kFiles = 64;
  const ErofsSample sample(directory_.path(), kFiles, 20000);
  for (int round = 0; round < 5; ++round) {
    auto server = StartReady(sample, false, 20);
    {
      Readers readers(sample, tree_, kFiles, 8);
      ASSERT_TRUE(WaitUntilHolding(server.get()));
      server->Kill();  // first, or it would replace its keeper
      KillKeeper();
      readers.Join();
      EXPECT_EQ(readers.wrong(), 0);
      EXPECT_GT(readers.failed(), 0);
    }
    server = StartReady(sample, false);
    EXPECT_EQ(CountWrong(sample, kFiles), 0);
    Finish(server.get());
  }
}

TEST_F(TakeoverTest, UpgradeOfServerAndKeeperUnderReadersIsNotNoticed) {
  constexpr int kFiles = 64;
  const ErofsSample sample(directory_.path(), kFiles, 20000);
  auto server = StartReady(sample, false, 20);
  const std::vector<pid_t> keepers = Keepers();
  Readers readers(sample, tree_, kFiles, 8);
  ASSERT_TRUE(WaitUntilHolding(server.get()));
  server->Kill();
  keeper_ = directory_ / "newer-keeper";
  std::filesystem::copy_file(KEEPER_PATH, keeper_);
  server = StartReady(sample, true);
  readers.Join();
  EXPECT_EQ(readers.right(), kFiles);
  ASSERT_EQ(Keepers(), keepers);
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(keepers[0]) + "/exe"), keeper_);
  Finish(server.get());
}

TEST_F(TakeoverTest, ServerAndKeeperDyingTogetherAboveADescriptorStoreAreNotNoticed) {
  constexpr int kFiles = 64;
  const ErofsSample sample(directory_.path(), kFiles, 20000);
  std::filesystem::create_directories(run_dir_);
  FakeSystemd systemd(directory_ / "notify", KEEPER_PATH);
  systemd.Start(run_dir_ + "/keeper.sock");
  auto server = StartReady(sample, false, 20);
  Readers readers(sample, tree_, kFiles, 8);
  for (int death = 0; death < 5; ++death) {
    ASSERT_TRUE(WaitUntilHolding(server.get()));
    server->Kill();  // first, or it would replace its keeper
    systemd.Kill();
    systemd.Start(run_dir_ + "/keeper.sock");
    server = StartReady(sample, true, death == 4 ? 1'000'000'000 : 10);
  }
  readers.Join();
  EXPECT_EQ(readers.right(), kFiles);
  server->Say("detach");
  EXPECT_EQ(server->Line(), "detach");
  EXPECT_TRUE(Eventually([&] {
    server->Say("bye");
    return server->Line() == "bye";
  }));
  server->Kill();
  EXPECT_EQ(systemd.Wait(), 0);
  EXPECT_TRUE(systemd.Stored().empty());
}

TEST_F(TakeoverTest, KeeperAbortsAtItsDeadline) {
  constexpr int kFiles = 64;
  const ErofsSample sample(directory_.path(), kFiles, 20000);
  auto server = StartReady(sample, false, 20, 1);
  Readers readers(sample, tree_, kFiles, 8);
  ASSERT_TRUE(WaitUntilHolding(server.get()));
  server->Kill();
  readers.Join();
  EXPECT_EQ(readers.wrong(), 0);
  EXPECT_GT(readers.failed(), 0);
  server = StartReady(sample, false);
  EXPECT_EQ(CountWrong(sample, kFiles), 0);
  Finish(server.get());
}

// It has lived for less than ten seconds; since the keeper's start the deadline has passed.
TEST_F(TakeoverTest, AServerThatHasAnsweredReadersSetsTheDeadlineAnew) {
  constexpr std::chrono::seconds kDeadline{6};
  const ErofsSample sample(directory_.path(), kFewFiles, 1000);
  const std::string trace = directory_ / "trace";
  auto server = Start(sample, 1'000'000'000, kDeadline.count(), "", trace);
  ASSERT_EQ(Next(server.get()), "connected");
  ASSERT_EQ(Next(server.get()), "ready adopted=0");
  const auto wait = [](std::chrono::seconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    EXPECT_TRUE(Eventually([until] { return std::chrono::steady_clock::now() > until; }));
  };
  wait(kDeadline);
  EXPECT_EQ(CountWrong(sample, kFewFiles), 0);
  // The keeper is told of it after the reader has its answer.
  ASSERT_TRUE(Eventually(
      [&] { return ReadWholeFile(trace).find("keeper.told_serving\n") != std::string::npos; }));
  server->Kill();
  wait(std::chrono::seconds(1));
  server = StartReady(sample, true);
  EXPECT_EQ(CountWrong(sample, kFewFiles), 0);
  Finish(server.get());
}

TEST_F(TakeoverTest, SecondServerIsRefusedAndDisturbsNothing) {
  const ErofsSample sample(directory_.path(), kFewFiles, 20000);
  auto first = StartReady(sample, false);
  auto second = Start(sample);
  EXPECT_THAT(second->Line(), HasSubstr("is in use by PID " + std::to_string(first->pid())));
  EXPECT_EQ(CountWrong(sample, kFewFiles), 0);
  Finish(first.get());
}

TEST_F(TakeoverTest, KilledHelperIsReplacedBeforeAnybodyNotices) {
  const ErofsSample sample(directory_.path(), kFewFiles, 20000);
  auto server = StartReady(sample, false);
  // A child may still be ending.
  std::vector<pid_t> helpers;
  ASSERT_TRUE(Eventually([&] {
    helpers = ProcessesWith(run_dir_ + "/attach.lock");
    return helpers.size() == 1;
  }));
  ASSERT_EQ(kill(helpers[0], SIGKILL), 0);
  // Whether it is found dead, dying, or dies over the request: that is given to the next one.
  server->Say("attach");
  EXPECT_EQ(server->Line(), "attach");
  EXPECT_NE(ProcessesWith(run_dir_ + "/attach.lock"), helpers);
  EXPECT_EQ(CountWrong(sample, kFewFiles), 0);
  Finish(server.get());
}

// Every failpoint that attaching passes, in the server and in the helper: whoever passes it dies
// there, then the server, and its successor must find a usable root.
TEST_F(TakeoverTest, DeathAtEveryStepOfAttachingLeavesNothingInTheWay) {
  const ErofsSample sample(directory_.path(), kFewFiles, 20000);
  const std::string trace = directory_ / "trace";
  auto server = Start(sample, 1'000'000'000, kNoDeadlineSeconds, "", trace);
  ASSERT_EQ(server->Line(), "connected");
  ASSERT_EQ(server->Line(), "ready adopted=0");
  server->Kill();
  // The second run passes the steps of a take-over too.
  server = Start(sample, 1'000'000'000, kNoDeadlineSeconds, "", trace);
  ASSERT_EQ(server->Line(), "connected");
  ASSERT_EQ(server->Line(), "ready adopted=1");
  Finish(server.get());
  std::set<std::string> steps;
  std::istringstream lines(ReadWholeFile(trace));
  for (std::string step; std::getline(lines, step);) steps.insert(step);
  EXPECT_GE(steps.size(), 15U);
  for (const std::string& step : steps) {
    for (const char* passage : {":1", ":2"}) {
      SCOPED_TRACE(step + passage);
      KillAndExpectASuccessor(sample,
                              Start(sample, 1'000'000'000, kNoDeadlineSeconds, step + passage));
      if (HasFatalFailure()) return;
    }
  }
}

// The same for the steps by which a lost connection is replaced.
TEST_F(TakeoverTest, DeathAtEveryStepOfHealingLeavesNothingInTheWay) {
  const ErofsSample sample(directory_.path(), kFewFiles, 20000);
  for (const char* step :
       {"attach.fuse_directory_made", "attach.fuse_mounted", "attach.fuse_kept", "attach.serving",
        "fuse.lookup", "fuse.open", "attach.before_change", "attach.changed", "attach.healed"}) {
    SCOPED_TRACE(step);
    auto server = StartReady(sample, false);
    server->Kill();  // first, or it would replace its keeper
    KillKeeper();
    KillAndExpectASuccessor(sample, Start(sample, 1'000'000'000, kNoDeadlineSeconds, step));
    if (HasFatalFailure()) return;
  }
}

// What readers wait for when they are killed stays in the page cache for the next ones: it must be
// the whole of it. Killed in the middle of read(2) and of page faults, with nothing cached, while the
// server has some of their reads and lets go of them afterwards, or dies as well.
TEST_F(TakeoverTest, ReadersThatAreKilledLeaveNoWrongPage) {
  constexpr int kFiles = 100;
  constexpr int kReaders = 8;
  constexpr int kRounds = 12;
  const ErofsSample sample(directory_.path(), kFiles, 60000);
  const std::string other = directory_ / "other";
  const std::string lower = "lowerdir=" + tree_ + ":" + (directory_ / "empty");
  std::filesystem::create_directories(other);
  std::filesystem::create_directories(directory_ / "empty");
  auto server = StartReady(sample, false);
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    std::ofstream("/proc/sys/vm/drop_caches") << "3";
    held_ = false;
    server->Say("hold " + std::to_string(1 + 7 * round));
    ASSERT_EQ(server->Line(), "hold");
    std::vector<std::unique_ptr<LineProcess>> readers;
    for (int i = 0; i < kReaders; ++i) {
      readers.push_back(std::make_unique<LineProcess>(std::vector<std::string>{
          FILE_READER, tree_, std::to_string(kFiles), std::to_string(round * kReaders + i + 1)}));
    }
    ASSERT_TRUE(WaitUntilHolding(server.get()));
    for (const auto& reader : readers) ASSERT_EQ(kill(reader->pid(), SIGKILL), 0);
    if (round % 3 == 2) {
      server->Kill();
      server = StartReady(sample, true);
    } else {
      server->Say("release");
      ASSERT_EQ(Next(server.get()), "release");
    }
    for (const auto& reader : readers) {
      reader->Wait();
    }
    readers.clear();
    // As another container sees what the dead have left in the page cache.
    ASSERT_EQ(mount("overlay", other.c_str(), "overlay", MS_RDONLY, lower.c_str()), 0);
    EXPECT_EQ(CountWrong(sample, kFiles, other), 0);
    EXPECT_EQ(umount2(other.c_str(), 0), 0);
  }
  std::ofstream("/proc/sys/vm/drop_caches") << "3";
  EXPECT_EQ(CountWrong(sample, kFiles), 0);
  Finish(server.get());
}

// Between the failpoints: the server is killed after a growing time.
TEST_F(TakeoverTest, DeathAtAnyMomentOfAttachingLeavesNothingInTheWay) {
  const ErofsSample sample(directory_.path(), kFewFiles, 20000);
  for (int step = 0; step < 40; ++step) {
    SCOPED_TRACE(step);
    auto server = Start(sample);
    const auto end = std::chrono::steady_clock::now() + step * std::chrono::milliseconds(1);
    while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    ExpectASuccessor(sample, std::move(server));
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace slacker::testing
