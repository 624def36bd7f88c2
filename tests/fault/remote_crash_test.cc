// slackerd is ended by SIGKILL at every step of what a published image goes through on a node: its
// remote snapshots' Prepare, the first container's, which attaches it, removal and Cleanup. (The
// steps in the attaching helper end the helper, and slackerd afterwards.) Its successor finds each
// remote snapshot with its reference and parent or not at all, prepares it again, attaches it, and
// leaves nothing once everything is removed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "backend/loopback/loopback_backend.h"
#include "tests/fault/remote_fixture.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class RemoteCrashTest : public RemoteFixture {
 protected:
  // With a boot pack, whose arrival is one more thing to die in.
  void SetUp() override {
    RemoteFixture::SetUp();
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kFail);
    ASSERT_OK(store);
    WriteBootPackOf(std::shared_ptr<Backend>(*std::move(store)), image_, AllChunks(image_));
  }

  // Everything under test; goes on where the daemon is gone.
  void Exercise(Daemon& daemon) {
    const std::string top = Pull(daemon, "extract ");
    if (!top.empty()) (void)daemon.Prepare("container", top);
    (void)RemoveAll(daemon);
  }

  std::map<std::string, int> ReadTrace() {
    std::map<std::string, int> passages;
    std::ifstream lines(dir_ / "trace");
    for (std::string line; std::getline(lines, line);) ++passages[line];
    return passages;
  }

  void ExpectConsistent(Daemon& daemon) {
    std::map<std::string, api::Info> infos;
    for (const api::Info& info : daemon.List()) infos[info.name()] = info;
    for (const auto& [name, info] : infos) {
      EXPECT_TRUE(info.parent().empty() || infos.contains(info.parent())) << name;
      if (info.kind() != api::COMMITTED) continue;
      const bool is_top = info.labels().at("containerd.io/snapshot.ref") == RefOf(1);
      EXPECT_EQ(info.parent().empty(), !is_top) << name;
    }
    EXPECT_LE(infos.size(), 3U);
  }

  void ExpectWholeLife(Daemon& daemon) {
    const std::string top = Pull(daemon, "again ");
    ASSERT_FALSE(top.empty()) << "the image cannot be pulled again";
    const grpc::Status prepared = daemon.Prepare("again", top);
    ASSERT_TRUE(prepared.ok()) << prepared.error_message();
    ASSERT_THAT(daemon.mounts(), SizeIs(1));
    for (const std::string& option : daemon.mounts().front().options()) {
      if (!option.starts_with("lowerdir=")) continue;
      EXPECT_FALSE(std::filesystem::is_empty(option.substr(sizeof "lowerdir=" - 1))) << option;
    }
    const grpc::Status removed = RemoveAll(daemon);
    EXPECT_TRUE(removed.ok()) << removed.error_message();
    EXPECT_THAT(daemon.List(), IsEmpty());
    ExpectNothingLeft();
  }
};

TEST_F(RemoteCrashTest, EveryStepLeavesAnImageThatCanBePulledAttachedAndRemoved) {
  std::map<std::string, int> at_start, passages;
  {
    auto daemon = Start({"SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")});
    ASSERT_TRUE(daemon->running());
    at_start = ReadTrace();
    Exercise(*daemon);
    EXPECT_EQ(daemon->End(SIGTERM), 0);
    passages = ReadTrace();
  }
  for (const char* name :
       {"remote.ensured", "remote.before_commit", "remote.committed", "ensure.before_commit",
        "ensure.after_commit", "metadata_image.before_meta", "attach.begin", "attach.devices_ready",
        "create.committed", "collect.before_commit", "collect.after_commit"}) {
    EXPECT_GT(passages[name], at_start[name]) << name << " was not passed";
  }
  for (const auto& [name, count] : passages) {
    // takeover_test's; how often depends on udev
    if (name.starts_with("fuse.") || name == "keeper.told_serving") continue;
    for (int nth = at_start[name] + 1; nth <= count; ++nth) {
      SCOPED_TRACE(name + ":" + std::to_string(nth));
      std::filesystem::remove_all(root_);
      auto daemon = Start({"SLACKER_FAILPOINT=" + name + ":" + std::to_string(nth)});
      Exercise(*daemon);
      daemon->End(SIGKILL);
      auto successor = Start();
      ASSERT_TRUE(successor->running());
      ExpectConsistent(*successor);
      ExpectWholeLife(*successor);
      EXPECT_EQ(successor->End(SIGTERM), 0);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace slacker::testing
