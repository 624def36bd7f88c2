#include "backend/store/find_image.h"

#include <gtest/gtest.h>

#include "backend/memory/memory_backend.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

constexpr char kName[] = "docker://example.org/app:v1";

class FindImageTest : public ::testing::Test {
 protected:
  void Publish(const Platform& platform) {
    ImageEntry entry;
    entry.name = kName;
    entry.platform = platform;
    entry.chain_id = Sha256::Of(platform.architecture + platform.variant);
    ASSERT_OK(store_.Replace(ImageName(kName, platform), EncodeImageEntry(entry)));
  }
  // The variant that is found for this platform.
  absl::StatusOr<std::string> Find(const Platform& platform) {
    auto entry = FindImage(store_, kName, platform);
    if (!entry.ok()) return entry.status();
    EXPECT_EQ(entry->platform.architecture, platform.architecture);
    return entry->platform.variant;
  }

  MemoryBackend store_;
};

TEST_F(FindImageTest, AnArmWithoutAVariantFindsTheDefaultOneHoweverItIsCalled) {
  const Platform host = {"linux", "arm64", ""};
  EXPECT_THAT(Find(host), StatusIs(absl::StatusCode::kNotFound));
  Publish(host);
  EXPECT_EQ(Find(host).value(), "");
  Publish({"linux", "arm64", "v8"});
  EXPECT_EQ(Find(host).value(), "v8");
  Publish({"linux", "arm", "v6"});
  EXPECT_THAT(Find({"linux", "arm", ""}), StatusIs(absl::StatusCode::kNotFound));
  Publish({"linux", "arm", "v7"});
  EXPECT_EQ(Find({"linux", "arm", ""}).value(), "v7");
  EXPECT_EQ(Find({"linux", "arm", "v6"}).value(), "v6");
}

TEST_F(FindImageTest, OthersFindWhatTheySay) {
  Publish({"linux", "amd64", ""});
  EXPECT_EQ(Find({"linux", "amd64", ""}).value(), "");
  EXPECT_THAT(Find({"linux", "amd64", "v3"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FindImageTest, ADamagedEntryIsNotPassedOver) {
  Publish({"linux", "arm64", ""});
  ASSERT_OK(store_.Replace(ImageName(kName, {"linux", "arm64", "v8"}), "rubbish"));
  EXPECT_THAT(Find({"linux", "arm64", ""}), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace slacker
