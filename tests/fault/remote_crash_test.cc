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

#include "backend/loopback/loopback_backend.h"
#include "tests/fault/daemon.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class RemoteCrashTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(store);
    image_ = Publish(std::shared_ptr<Backend>(*std::move(store)), {1, 2});
    std::ofstream(dir_ / "config.toml") << "store.url = \"loopback:" << dir_ / "store"
                                        << "\"\nnode.run_dir = \"" << dir_ / "run"
                                        << "\"\n";
  }

  std::unique_ptr<Daemon> Start(const std::vector<std::string>& environment = {}) {
    return std::make_unique<Daemon>(root_, dir_ / "sock", dir_ / "log", environment,
                                    std::vector<std::string>{"--config", dir_ / "config.toml"});
  }

  std::string RefOf(size_t layer) const { return image_.chains[layer].ToString(); }

  std::vector<api::Info> RemoteSnapshots(Daemon& daemon, size_t layer, const std::string& parent) {
    return daemon.List("labels.\"containerd.io/snapshot.ref\"==" + RefOf(layer) + ",parent==\"" +
                       parent + "\"");
  }

  // As containerd does for a pull; the name of the top, empty when a step failed.
  std::string Pull(Daemon& daemon, const std::string& key) {
    std::string top;
    for (size_t layer = 0; layer < image_.layers.size(); ++layer) {
      const grpc::Status status = daemon.Prepare(key + std::to_string(layer), top, RefOf(layer));
      if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) return "";
      const std::vector<api::Info> found = RemoteSnapshots(daemon, layer, top);
      if (found.size() != 1) return "";
      top = found.front().name();
    }
    return top;
  }

  static grpc::Status RemoveAll(Daemon& daemon) {
    for (size_t before = SIZE_MAX;;) {
      const std::vector<api::Info> infos = daemon.List();
      if (infos.empty() || infos.size() >= before) return daemon.Cleanup();
      before = infos.size();
      for (const api::Info& info : infos) (void)daemon.Remove(info.name());  // parents come later
    }
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

  void ExpectNothingLeft() {
    for (const char* name : {"/snapshots", "/images", "/records", "/blobs"}) {
      std::vector<std::string> left;
      for (const auto& entry : std::filesystem::directory_iterator(root_ + name)) {
        left.push_back(entry.path());
      }
      EXPECT_THAT(left, IsEmpty());
    }
  }

  TempDir dir_;
  // gRPC has descriptors of its own while there is a channel.
  const std::shared_ptr<grpc::Channel> channel_ =
      grpc::CreateChannel("unix:/", grpc::InsecureChannelCredentials());
  KernelLeakCheck leaks_{dir_.path()};
  const std::string root_ = dir_ / "root";
  PublishedImage image_;
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
    if (name.starts_with("fuse.")) continue;  // takeover_test's; how often depends on udev
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
