// SIGKILL at every failpoint that a publication passes, and at those of a real NFS server's client
// when the store is behind one; then the store is opened again. Invariants: what is visible is
// complete; publishing again succeeds; everything published is sound; what is not visible is
// collected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <vector>

#include "tests/fault/slackerctl.h"
#include "tests/fault/store_place.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

using testing::StorePlace;
using testing::Way;

class PublishCrashTest : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    std::vector<testing::ImageLayer> layers;
    for (uint64_t i = 1; i <= 2; ++i) {
      layers.push_back(
          testing::GzipLayer(testing::TarBuilder()
                                 .File("file" + std::to_string(i), testing::RandomBytes(150'000, i))
                                 .End()));
    }
    layout_.AddImage(layers, "v1");
  }

  // Its wait status, with one more variable in its environment.
  int Publish(const std::string& store, const std::string& variable) {
    return testing::RunSlackerctl(
        {"publish", "oci:" + layout_.directory() + ":v1", "--platform", "linux/amd64"},
        place_.Url(store), variable);
  }
  // Two days later nothing is left of a publication that came to nothing.
  void ExpectGarbageIsCollected(const std::string& store, size_t images) {
    const std::string later = place_.Directory(store + "-later");
    std::filesystem::copy(place_.Directory(store), later, std::filesystem::copy_options::recursive);
    testing::Backdate(later);
    ASSERT_EQ(testing::RunSlackerctl({"gc", "--grace", "0"}, place_.Url(store + "-later")), 0);
    testing::ExpectSoundStore(later, images);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(later)) {
      EXPECT_FALSE(entry.path().filename().string().starts_with(".tmp-")) << entry.path();
      if (images > 0 || !entry.is_regular_file()) continue;
      EXPECT_THAT(entry.path().filename(), ::testing::AnyOf("clock", "reserve"));
    }
    std::filesystem::remove_all(later);
  }

  StorePlace place_{GetParam()};
  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
};

TEST_P(PublishCrashTest, WhateverStepItDiesAtTheStoreStaysSoundAndGarbageIsCollected) {
  ASSERT_EQ(Publish("whole", "SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")), 0);
  auto passages = testing::Passages(dir_ / "trace");
  const bool nfs = GetParam() != Way::kLoopback;
  const std::vector<std::string> expected =
      nfs ? std::vector<std::string>{"nfs.created",    "nfs.written",       "nfs.before_name",
                                     "nfs.after_name", "nfs.before_rename", "nfs.renamed"}
          : std::vector<std::string>{"publish.layer_opened",   "publish.layer_read",
                                     "publish.layer_added",    "publish.before_manifests",
                                     "publish.after_manifest", "publish.done",
                                     "intent.declared",        "intent.checked"};
  for (const std::string& name : expected) EXPECT_GT(passages[name], 0) << name;
  int stores = 0;
  for (const auto& [name, count] : passages) {
    // What lies above the backend is the same on all of them.
    if (nfs && !name.starts_with("nfs.")) continue;
    for (int n = 1; n <= count; ++n) {
      const std::string point = name + ":" + std::to_string(n);
      SCOPED_TRACE(point);
      const std::string store = "store-" + std::to_string(++stores);
      const std::string directory = place_.Directory(store);
      const int status = Publish(store, "SLACKER_FAILPOINT=" + point);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      const size_t images = ListImages(*testing::OpenStore(directory))->size();
      testing::ExpectSoundStore(directory, images);
      ExpectGarbageIsCollected(store, images);
      ASSERT_EQ(Publish(store, "X=1"), 0);
      testing::ExpectSoundStore(directory, 1);
      EXPECT_EQ(testing::OpenStore(directory)->List("manifests/")->size(), 2u);
      std::filesystem::remove_all(directory);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, PublishCrashTest,
                         ::testing::Values(Way::kLoopback, Way::kNfs3, Way::kNfs4),
                         [](const auto& test) { return testing::NameOf(test.param); });

}  // namespace
}  // namespace slacker
