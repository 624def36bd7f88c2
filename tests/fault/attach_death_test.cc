// slackerd killed at every step of attaching an image and mounting it for a container, and of taking
// it away again, while 32 processes read another image, cold: their reads wait for its successor, and
// all of them are right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "tests/fault/container_fixture.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

constexpr int kReaders = 32;
constexpr uint32_t kChunks = 600;

class AttachDeathTest : public ContainerFixture {
 protected:
  void SetUp() override {
    PublishLayers({MakeBigLayer(kChunks, 1)}, kChunks + 1);
    Configure("cache.complete", "off");  // complete caches are read without slackerd
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kFail);
    ASSERT_OK(store);
    other_ = Publish(std::shared_ptr<Backend>(*std::move(store)), {2, 3});
  }

  // What is killed: another image comes, a container is made on it, and both go. Goes on where the
  // daemon is gone; whether all of it went well.
  bool Exercise(Daemon& daemon) {
    std::swap(image_, other_);
    const std::string top = Pull(daemon, "other ");
    std::swap(image_, other_);
    const bool made = !top.empty() && daemon.Prepare("other", top).ok();
    return RemoveOthers(daemon) && made;
  }
  bool RemoveOthers(Daemon& daemon) {
    for (size_t before = SIZE_MAX;;) {
      const std::vector<api::Info> infos = daemon.List();
      if (infos.size() >= before) return infos.size() == stay_.size() && daemon.Cleanup().ok();
      before = infos.size();
      for (const api::Info& info : infos) {
        if (!stay_.contains(info.name())) (void)daemon.Remove(info.name());  // parents come later
      }
    }
  }
  // How often each step was passed that belongs to what is killed: readers pass others.
  std::map<std::string, int> ReadTrace() {
    std::map<std::string, int> passages;
    std::ifstream lines(dir_ / "trace");
    for (std::string line; std::getline(lines, line);) {
      for (const char* part :
           {"attach.", "collect.", "create.", "ensure.", "metadata_image.", "remote."}) {
        if (line.starts_with(part)) ++passages[line];
      }
    }
    return passages;
  }
  void StartReaders() {
    for (int seed = 1; seed <= kReaders; ++seed) {
      readers_.push_back(StartReader(0, seed, dir_ / "enough"));
    }
  }
  void EndReaders() {
    std::ofstream(dir_ / "enough") << "";
    for (const auto& reader : readers_) EXPECT_EQ(reader->Wait(), 0);
    readers_.clear();
  }

  PublishedImage other_;
  std::set<std::string> stay_;
  std::vector<std::unique_ptr<LineProcess>> readers_;
};

TEST_F(AttachDeathTest, AtEveryStepReadersOfAnotherImageNoticeNothing) {
  {
    auto daemon = Start();
    ASSERT_TRUE(MountContainer(*daemon, "container"));
    for (const api::Info& info : daemon->List()) stay_.insert(info.name());
    EXPECT_EQ(daemon->End(SIGTERM), 0);
  }
  std::map<std::string, int> at_start, passages;
  {
    auto daemon = Start({"SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")});
    at_start = ReadTrace();
    ASSERT_TRUE(Exercise(*daemon));
    EXPECT_EQ(daemon->End(SIGTERM), 0);
    passages = ReadTrace();
  }
  StartReaders();
  int deaths = 0;
  for (const auto& [name, count] : passages) {
    if (count == at_start[name]) continue;
    SCOPED_TRACE(name);
    std::filesystem::remove(dir_ / "trace");
    {
      auto daemon = Start(DyingAt(name + ":" + std::to_string(at_start[name] + 1)));
      EXPECT_FALSE(Exercise(*daemon));
      EXPECT_EQ(ReadTrace()[name], at_start[name] + 1) << "nobody has died there";
      daemon->End(SIGKILL);  // the steps in the helper end only that
    }
    auto successor = Start();
    ASSERT_TRUE(successor->running());
    EXPECT_TRUE(RemoveOthers(*successor));
    EXPECT_TRUE(Exercise(*successor));
    EXPECT_EQ(successor->End(SIGTERM), 0);
    ++deaths;
    if (HasFailure()) break;
  }
  EXPECT_GE(deaths, 12);
  auto daemon = Start();
  EndReaders();
  DropKernelCaches();
  EXPECT_TRUE(ReadWholeFile(merged_ + "/big") == big_);
  End(*daemon);
}

}  // namespace
}  // namespace slacker::testing
