// SIGKILL at every failpoint of a store's maintenance. Invariants: every visible image is sound; the
// same verb run again finishes the work; garbage is collected in the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/fault/slackerctl.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

using testing::GzipLayer;
using testing::ImageLayer;
using ::testing::IsEmpty;
using testing::RandomBytes;
using testing::RunSlackerctl;
using testing::TarBuilder;

struct Case {
  const char* name;
  std::vector<std::string> arguments;
  size_t images_before, images_after;
  std::vector<std::string> failpoints;  // some that it must have passed
};

class UpkeepCrashTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const ImageLayer base = Layer("base", 1);
    for (uint64_t i = 2; i <= 4; ++i) {
      const std::string tag = "v" + std::to_string(i);
      layout_.AddImage({base, Layer(tag, i)}, tag);
      ASSERT_EQ(RunSlackerctl({"publish", "oci:" + layout_.directory() + ":" + tag, "--platform",
                               "linux/amd64"},
                              prepared_),
                0);
    }
    ASSERT_EQ(RunSlackerctl({"rm", Image("v4")}, prepared_), 0);
  }
  static ImageLayer Layer(const std::string& name, uint64_t seed) {
    return GzipLayer(TarBuilder().File(name, RandomBytes(150'000, seed)).End());
  }
  std::string Image(const std::string& tag) { return "oci:" + layout_.directory() + ":" + tag; }
  std::vector<std::string> Arguments() {
    std::vector<std::string> arguments = GetParam().arguments;
    if (arguments[0] == "rm") arguments.push_back(Image("v3"));
    return arguments;
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::string prepared_ = dir_ / "prepared";
};

TEST_P(UpkeepCrashTest, WhateverStepItDiesAtEveryImageStaysSoundAndTheNextRunFinishes) {
  const auto copy = [this](const std::string& to) {
    std::filesystem::copy(prepared_, to, std::filesystem::copy_options::recursive);
    testing::Backdate(to);
  };
  const std::string whole = dir_ / "whole";
  copy(whole);
  ASSERT_EQ(RunSlackerctl(Arguments(), whole, "SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")), 0);
  const auto passages = testing::Passages(dir_ / "trace");
  for (const std::string& name : GetParam().failpoints)
    EXPECT_TRUE(passages.contains(name)) << name;
  for (const auto& [name, count] : passages) {
    for (int n = 1; n <= count; n += 1 + count / 10) {  // many are alike
      const std::string point = name + ":" + std::to_string(n);
      SCOPED_TRACE(point);
      const std::string store = dir_ / ("store-" + point);
      copy(store);
      const int status = RunSlackerctl(Arguments(), store, "SLACKER_FAILPOINT=" + point);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      const size_t images = ListImages(*testing::OpenStore(store))->size();
      EXPECT_TRUE(images == GetParam().images_before || images == GetParam().images_after);
      testing::ExpectSoundStore(store, images);
      (void)RunSlackerctl(Arguments(), store);  // a name that is gone is an error of rm
      testing::ExpectSoundStore(store, GetParam().images_after);
      testing::Backdate(store);
      ASSERT_EQ(RunSlackerctl({"gc", "--grace", "0"}, store), 0);
      ASSERT_EQ(RunSlackerctl({"gc", "--grace", "0"}, store), 0);
      testing::ExpectSoundStore(store, GetParam().images_after);
      const auto opened = testing::OpenStore(store);
      EXPECT_EQ(opened->List("trash/").value(), std::vector<std::string>{"trash/clock"});
      EXPECT_THAT(opened->List("intents/").value(), IsEmpty());
      EXPECT_EQ(opened->List("records/")->size(), GetParam().images_after + 1);
      EXPECT_EQ(opened->List("manifests/")->size(), GetParam().images_after + 1);
      for (const auto& entry : std::filesystem::recursive_directory_iterator(store)) {
        EXPECT_FALSE(entry.path().filename().string().starts_with(".tmp-")) << entry.path();
      }
      std::filesystem::remove_all(store);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Verbs, UpkeepCrashTest,
    ::testing::Values(Case{"Gc",
                           {"gc", "--grace", "0"},
                           2,
                           2,
                           {"gc.marked", "gc.condemned", "gc.before_remove", "gc.removed",
                            "gc.looked_again"}},
                      Case{"Compact",
                           {"compact"},
                           2,
                           2,
                           {"compact.before_index", "compact.packed", "compact.location_replaced",
                            "compact.condemned", "merge.before_index"}},
                      Case{"Rm", {"rm"}, 2, 1, {"rm.entry_removed", "rm.condemned", "rm.removed"}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace slacker
