// slackerd is ended by SIGKILL at every step of Prepare, View, Commit, Remove and Cleanup; its
// successor finds each call either done or not done, and no directory without a row or row without
// a directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fault/daemon.h"

namespace slacker::testing {
namespace {

constexpr size_t kSpares = 64;  // that slackerd keeps ready

class SnapshotCrashTest : public DaemonFixture {
 protected:
  // What every test begins with.
  static void Populate(Daemon& daemon) {
    ASSERT_TRUE(daemon.Prepare("making", "").ok());
    ASSERT_TRUE(daemon.Commit("base", "making").ok());
    ASSERT_TRUE(daemon.Prepare("active", "base").ok());
    ASSERT_TRUE(daemon.Prepare("doomed", "base").ok());
  }

  // All calls under test, in an order in which each can succeed; stops when the daemon is gone.
  static void Exercise(Daemon& daemon) {
    (void)daemon.Prepare("prepared", "base");
    (void)daemon.View("viewed", "");
    (void)daemon.View("viewed base", "base");
    (void)daemon.Commit("committed", "active");
    (void)daemon.Remove("doomed");
    (void)daemon.Cleanup();
  }

  // Names of failpoints that Exercise passes, and how often.
  std::map<std::string, int> Trace() {
    const std::string trace = dir_ / "trace";
    auto daemon = Start({"SLACKER_FAILPOINT_TRACE=" + trace});
    Populate(*daemon);
    std::filesystem::resize_file(trace, 0);
    Exercise(*daemon);
    daemon->End(SIGTERM);
    std::map<std::string, int> passages;
    std::ifstream lines(trace);
    for (std::string line; std::getline(lines, line);) ++passages[line];
    return passages;
  }

  // The directories below snapshots/ are exactly those that the rows call for.
  void ExpectInvariants(Daemon& daemon) {
    ASSERT_TRUE(daemon.Cleanup().ok());
    size_t expected = 0;
    std::set<std::string> names;
    for (const api::Info& info : daemon.List()) {
      names.insert(info.name());
      expected += info.kind() == api::VIEW && !info.parent().empty() ? 0U : 1U;
      if (info.kind() != api::COMMITTED) ExpectMountable(daemon, info.name());
    }
    for (const api::Info& info : daemon.List()) {
      EXPECT_TRUE(info.parent().empty() || names.contains(info.parent())) << info.name();
    }
    size_t found = 0, spares = 0;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/snapshots")) {
      if (entry.path().filename().string().starts_with(".new-")) {
        ++spares;
        continue;
      }
      ++found;
      EXPECT_TRUE(std::filesystem::is_directory(entry.path() / "fs")) << entry.path();
    }
    EXPECT_EQ(found, expected);
    EXPECT_LE(spares, kSpares) << "those that are ready, or are being made";
    ExpectDoneOrNotDone(names);
  }

  static void ExpectMountable(Daemon& daemon, const std::string& key) {
    ASSERT_TRUE(daemon.Mounts(key).ok()) << key;
    for (const api::Mount& mount : daemon.mounts()) {
      for (const std::string& option : mount.options()) {
        const size_t equals = option.find("=/");
        if (equals == std::string::npos) continue;
        EXPECT_TRUE(std::filesystem::is_directory(option.substr(equals + 1))) << option;
      }
    }
  }

  static void ExpectDoneOrNotDone(const std::set<std::string>& names) {
    EXPECT_TRUE(names.contains("base"));
    EXPECT_NE(names.contains("active"), names.contains("committed"));
    // Each call began after the one before it had been answered.
    const std::vector<std::string> order = {"prepared", "viewed", "viewed base", "committed"};
    for (size_t i = 1; i < order.size(); ++i) {
      EXPECT_TRUE(names.contains(order[i - 1]) || !names.contains(order[i])) << order[i];
    }
    EXPECT_TRUE(names.contains("committed") || names.contains("doomed"));
  }
};

TEST_F(SnapshotCrashTest, EveryStepLeavesEachCallDoneOrNotDone) {
  const std::map<std::string, int> passages = Trace();
  for (const char* name :
       {"create.begin", "create.placed", "create.made", "create.before_commit", "create.committed",
        "commit.measured", "commit.before_commit", "commit.committed", "remove.before_commit",
        "remove.committed", "cleanup.before_delete", "cleanup.deleted"}) {
    EXPECT_TRUE(passages.contains(name)) << name << " was not passed";
  }
  const std::map<std::string, int> before = {
      {"create.placed", 3},        {"create.made", 3},      {"create.begin", 3},
      {"create.before_commit", 3}, {"create.committed", 3}, {"commit.measured", 1},
      {"commit.before_commit", 1}, {"commit.committed", 1}, {"cleanup.begin", 1}};
  for (const auto& [name, count] : passages) {
    if (name.starts_with("spare.")) continue;  // on a thread of its own: the test below
    const auto skipped = before.find(name);
    const int first = skipped == before.end() ? 0 : skipped->second;
    for (int nth = 1; nth <= count; ++nth) {
      SCOPED_TRACE(name + ":" + std::to_string(nth));
      std::filesystem::remove_all(root_);
      auto daemon = Start({"SLACKER_FAILPOINT=" + name + ":" + std::to_string(first + nth)});
      Populate(*daemon);
      Exercise(*daemon);
      const int status = daemon->Wait();
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      auto successor = Start();
      ASSERT_TRUE(successor->running());
      ExpectInvariants(*successor);
      EXPECT_EQ(successor->End(SIGTERM), 0);
    }
  }
}

TEST_F(SnapshotCrashTest, ADeathWhileSparesAreMadeLeavesNothingThatStays) {
  for (const char* point : {"spare.aside:1", "spare.aside:16", "spare.filled", "spare.durable"}) {
    SCOPED_TRACE(point);
    std::filesystem::remove_all(root_);
    auto daemon = Start({std::string("SLACKER_FAILPOINT=") + point});
    const int status = daemon->Wait();
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    auto successor = Start();
    ASSERT_TRUE(successor->running());
    Populate(*successor);
    Exercise(*successor);
    ExpectInvariants(*successor);
    EXPECT_EQ(successor->End(SIGTERM), 0);
  }
}

// As after a power cut that kept the transaction and lost the rename.
TEST_F(SnapshotCrashTest, ADirectoryThatIsStillASpareIsPlacedAtTheStart) {
  auto daemon = Start();
  ASSERT_TRUE(daemon->Prepare("key", "").ok());
  const std::filesystem::path fs = daemon->mounts().front().source();
  WriteWholeFile(fs / "file", "content");
  daemon->End(SIGKILL);
  const std::filesystem::path directory = fs.parent_path();
  std::filesystem::rename(directory,
                          directory.parent_path() / (".new-" + directory.filename().string()));
  daemon = Start();
  ExpectMountable(*daemon, "key");
  EXPECT_EQ(ReadWholeFile(fs / "file"), "content");
}

TEST_F(SnapshotCrashTest, ACleanStopLeavesNoSpares) {
  auto daemon = Start();
  ASSERT_TRUE(daemon->Prepare("key", "").ok());
  EXPECT_EQ(daemon->End(SIGTERM), 0);
  const std::filesystem::directory_iterator snapshots(root_ + "/snapshots");
  EXPECT_EQ(std::distance(begin(snapshots), end(snapshots)), 1);
}

}  // namespace
}  // namespace slacker::testing
