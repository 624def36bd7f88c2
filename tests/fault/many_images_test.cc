// A node that knows a thousand images: all of them here, ten with containers; killed, started again without
// its store, and emptied.
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "tests/fault/remote_fixture.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

constexpr uint32_t kImages = 1000;
constexpr size_t kContainers = 10;
constexpr size_t kMaxResidentBytes = 50 << 20;

class ManyImagesTest : public RemoteFixture {
 protected:
  // All stand on one layer, and have one of their own.
  void SetUp() override {
    auto opened = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(opened);
    const std::shared_ptr<Backend> store = *std::move(opened);
    const SampleLayer base = MakeSampleLayer(1);
    for (uint32_t i = 0; i < kImages; ++i) {
      images_.push_back(Publish(store, {base, MakeBigLayer(3, 100 + i)}).chain());
    }
    image_ = Publish(store, {base, MakeBigLayer(3, 100)});
    Configure("store.url", "loopback:" + (dir_ / "store"));
  }
  // The names of the tops.
  std::vector<std::string> PullAll(Daemon& daemon) {
    std::vector<std::string> tops;
    EXPECT_EQ(daemon.Prepare("base", "", RefOf(0)).error_code(), grpc::StatusCode::ALREADY_EXISTS);
    const std::vector<api::Info> bases = RemoteSnapshots(daemon, 0, "");
    if (bases.size() != 1) return tops;
    for (const Digest& image : images_) {
      EXPECT_EQ(
          daemon.Prepare(image.ToString(), bases.front().name(), image.ToString()).error_code(),
          grpc::StatusCode::ALREADY_EXISTS);
      const auto found = daemon.List("labels.\"containerd.io/snapshot.ref\"==" + image.ToString());
      if (found.size() == 1) tops.push_back(found.front().name());
    }
    return tops;
  }
  void ExpectAttached(Daemon& daemon, const std::string& key) {
    ASSERT_TRUE(daemon.Mounts(key).ok()) << key;
    for (const std::string& option : daemon.mounts().front().options()) {
      if (!option.starts_with("lowerdir=")) continue;
      EXPECT_TRUE(std::filesystem::exists(option.substr(sizeof "lowerdir=" - 1) + "/big")) << key;
    }
  }

  std::vector<Digest> images_;
};

TEST_F(ManyImagesTest, AreThereAfterAKillWithoutTheStoreInLittleMemoryAndLeaveNothing) {
  {
    auto daemon = Start();
    const std::vector<std::string> tops = PullAll(*daemon);
    ASSERT_EQ(tops.size(), kImages);
    for (size_t i = 0; i < kContainers; ++i) {
      ASSERT_TRUE(daemon->Prepare("container" + std::to_string(i), tops[i * 97]).ok());
    }
    EXPECT_LT(daemon->ResidentBytes(), kMaxResidentBytes);
    daemon->End(SIGKILL);
  }
  std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
  auto daemon = Start();
  ASSERT_EQ(daemon->List().size(), 1 + kImages + kContainers);
  for (size_t i = 0; i < kContainers; ++i) {
    ExpectAttached(*daemon, "container" + std::to_string(i));
  }
  std::cout << daemon->ResidentBytes() / 1024 << " KiB resident after the start\n";
  EXPECT_LT(daemon->ResidentBytes(), kMaxResidentBytes);
  EXPECT_TRUE(RemoveAll(*daemon).ok());
  ExpectNothingLeft();
}

}  // namespace
}  // namespace slacker::testing
