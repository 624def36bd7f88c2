// Images that not everybody may have, on a node.
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

constexpr auto kPrivate = absl::StatusCode::kUnauthenticated;

class PrivateImagesTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    std::vector<testing::SampleLayer> layers;
    for (uint32_t seed = 1; seed <= 2; ++seed) layers.push_back(testing::MakeSampleLayer(seed));
    image_ = testing::Publish(store_, std::move(layers), "docker.io/library/secret");
    NodeTest::SetUp();
  }
  static Labels PulledAs(const std::string& reference) {
    return {{"containerd.io/snapshot/cri.image-ref", reference}};
  }
  void BelieveAnnotations() {
    private_by_cri_annotations_ = true;
    RestartNode();
  }

  testing::PublishedImage image_;
};

TEST_F(PrivateImagesTest, ALabelGivesNothingByDefault) {
  EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(kPrivate));
  EXPECT_THAT(images_->Ensure(image_.chain(), PulledAs("secret:v1")), StatusIs(kPrivate));
  EXPECT_TRUE(LayersOf(image_.chain()).empty());
}

TEST_F(PrivateImagesTest, WhereContainerdVouchesForItTheRepositoryCounts) {
  BelieveAnnotations();
  EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(kPrivate));
  EXPECT_THAT(images_->Ensure(image_.chain(), PulledAs("attacker/secret:v1")), StatusIs(kPrivate));
  EXPECT_THAT(images_->Ensure(image_.chain(), PulledAs("!")), StatusIs(kPrivate));
  for (const std::string reference : {"docker.io/library/secret:v1", "secret"}) {
    EXPECT_OK(images_->Ensure(image_.chain(), PulledAs(reference)));
  }
  EXPECT_EQ(LayersOf(image_.chain()).size(), 2U);
}

TEST_F(PrivateImagesTest, ThatAnImageIsHereEntitlesNobody) {
  BelieveAnnotations();
  ASSERT_OK(images_->Ensure(image_.chain(), PulledAs("secret")));
  EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(kPrivate));
  EXPECT_THAT(images_->CheckAllowed(image_.chain(), {}), StatusIs(kPrivate));
  EXPECT_OK(images_->CheckAllowed(image_.chain(), PulledAs("secret")));
}

TEST_F(PrivateImagesTest, APublicImageThatIsHereNeedsNoStore) {
  const auto open = testing::Publish(store_, std::vector<uint32_t>{7});
  ASSERT_OK(images_->Ensure(open.chain(), {}));
  images_->WaitForBackgroundForTest();
  const uint64_t calls = faulty_->calls();
  EXPECT_OK(images_->CheckAllowed(open.chain(), {}));
  EXPECT_EQ(faulty_->calls(), calls);
}

TEST_F(PrivateImagesTest, WithoutTheStoreNobodyGetsAPrivateImage) {
  BelieveAnnotations();
  ASSERT_OK(images_->Ensure(image_.chain(), PulledAs("secret")));
  images_->WaitForBackgroundForTest();
  faulty_->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(images_->CheckAllowed(image_.chain(), PulledAs("secret")),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(PrivateImagesTest, AnImageThatBecamePublicIsForAnybody) {
  BelieveAnnotations();
  ASSERT_OK(images_->Ensure(image_.chain(), PulledAs("secret")));
  testing::Publish(store_, image_.layers);
  EXPECT_OK(images_->CheckAllowed(image_.chain(), {}));
}

}  // namespace
}  // namespace slacker
