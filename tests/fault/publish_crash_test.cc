// SIGKILL at every failpoint that a publication passes; then the store is opened again. Invariants:
// what is visible is complete; publishing again succeeds; everything published is sound; what is not
// visible is collected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <vector>

#include "tests/fault/slackerctl.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

class PublishCrashTest : public ::testing::Test {
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

  // Runs slackerctl publish with one more variable in its environment; its wait status.
  int Publish(const std::string& store, const std::string& variable) {
    return testing::RunSlackerctl(
        {"publish", "oci:" + layout_.directory() + ":v1", "--platform", "linux/amd64"}, store,
        variable);
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
};

TEST_F(PublishCrashTest, WhateverStepItDiesAtTheStoreStaysSoundAndGarbageIsCollected) {
  ASSERT_EQ(Publish(dir_ / "whole", "SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")), 0);
  auto passages = testing::Passages(dir_ / "trace");
  for (const char* name : {"publish.layer_opened", "publish.layer_read", "publish.layer_added",
                           "publish.before_manifests", "publish.after_manifest", "publish.done",
                           "intent.declared", "intent.checked"}) {
    EXPECT_GT(passages[name], 0) << name;
  }
  for (const auto& [name, count] : passages) {
    for (int n = 1; n <= count; ++n) {
      const std::string point = name + ":" + std::to_string(n);
      SCOPED_TRACE(point);
      const std::string store = dir_ / ("store-" + point);
      const int status = Publish(store, "SLACKER_FAILPOINT=" + point);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      const size_t images = ListImages(*testing::OpenStore(store))->size();
      testing::ExpectSoundStore(store, images);
      // Two days later nothing is left of a publication that came to nothing.
      const std::string later = store + "-later";
      std::filesystem::copy(store, later, std::filesystem::copy_options::recursive);
      testing::Backdate(later);
      ASSERT_EQ(testing::RunSlackerctl({"gc", "--grace", "0"}, later), 0);
      testing::ExpectSoundStore(later, images);
      for (const auto& entry : std::filesystem::recursive_directory_iterator(later)) {
        if (images > 0 || !entry.is_regular_file()) continue;
        EXPECT_EQ(entry.path().filename(), "clock") << entry.path();
      }
      ASSERT_EQ(Publish(store, "X=1"), 0);
      testing::ExpectSoundStore(store, 1);
      EXPECT_EQ(testing::OpenStore(store)->List("manifests/")->size(), 2u);
      std::filesystem::remove_all(store);
      std::filesystem::remove_all(later);
    }
  }
}

}  // namespace
}  // namespace slacker
