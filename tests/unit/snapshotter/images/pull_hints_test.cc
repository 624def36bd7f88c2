#include "snapshotter/images/pull_hints.h"

#include <gtest/gtest.h>

namespace slacker {
namespace {

constexpr char kLayers[] = "containerd.io/snapshot/cri.image-layers";
constexpr char kReference[] = "containerd.io/snapshot/cri.image-ref";
constexpr char kManifest[] = "containerd.io/snapshot/cri.manifest-digest";

TEST(PullHintsTest, WithoutLabelsNothingIsSaid) {
  const PullHints hints = ReadPullHints({});
  EXPECT_FALSE(hints.says_not_top);
  EXPECT_EQ(hints.reference, "");
  EXPECT_EQ(hints.repository, "");
  EXPECT_FALSE(hints.PullId().has_value());
}

TEST(PullHintsTest, TheListOfLayersSaysWhichIsTheTop) {
  EXPECT_FALSE(ReadPullHints({{kLayers, "sha256:a"}}).says_not_top);
  const PullHints lower = ReadPullHints({{kLayers, "sha256:a,sha256:b"}});
  EXPECT_TRUE(lower.says_not_top);
}

TEST(PullHintsTest, AReferenceIsCompleted) {
  const PullHints hints = ReadPullHints({{kReference, "app"}});
  EXPECT_EQ(hints.reference, "docker.io/library/app:latest");
  EXPECT_EQ(hints.repository, "docker.io/library/app");
  EXPECT_EQ(hints.NameInStore(), "docker://docker.io/library/app:latest");
}

TEST(PullHintsTest, APullIsItsReferenceAndItsManifest) {
  const std::string digest = Sha256::Of("a manifest").ToString();
  const auto pull = ReadPullHints({{kReference, "app:v1"}, {kManifest, digest}}).PullId();
  ASSERT_TRUE(pull.has_value());
  EXPECT_EQ(pull, ReadPullHints({{kReference, "docker.io/library/app:v1"},
                                 {kManifest, digest},
                                 {kLayers, "sha256:a"}})
                      .PullId());
  EXPECT_NE(pull, ReadPullHints({{kReference, "app:v2"}, {kManifest, digest}}).PullId());
  EXPECT_NE(pull,
            ReadPullHints({{kReference, "app:v1"}, {kManifest, Sha256::Of("another").ToString()}})
                .PullId());
}

TEST(PullHintsTest, RubbishIsAsGoodAsNothing) {
  const std::string digest = Sha256::Of("a manifest").ToString();
  for (const std::string rubbish : {"", "!", "../x", "sha256:", "sha256:zz", "a b"}) {
    EXPECT_FALSE(ReadPullHints({{kReference, "app"}, {kManifest, rubbish}}).PullId().has_value());
    EXPECT_FALSE(
        ReadPullHints({{kReference, rubbish == "sha256:zz" ? "!" : rubbish}, {kManifest, digest}})
            .PullId()
            .has_value())
        << rubbish;
  }
}

}  // namespace
}  // namespace slacker
