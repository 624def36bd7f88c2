#include "backend/view/image_usage.h"

#include "backend/base/status.h"
#include "tests/unit/backend/view/view_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;
using testing::TarBuilder;

using ImageUsageTest = testing::ViewTest;

TEST_F(ImageUsageTest, WhatTwoImagesHaveIsSharedWhateverTheLayer) {
  const std::string common = testing::RandomBytes(60'000, 1);  // one chunk, incompressible
  const std::string own = testing::RandomBytes(30'000, 2);
  const std::string base = TarBuilder().File("base", testing::RandomBytes(20'000, 3)).End();
  const Digest first = AddImage({base, TarBuilder().File("x", common).File("own", own).End()});
  // The same chunk in another layer, twice.
  const Digest second =
      AddImage({base, TarBuilder().File("y", common).End(), TarBuilder().File("z", common).End()});
  const Digest third = AddImage({TarBuilder().File("t", testing::RandomBytes(10'000, 4)).End()});
  const auto usages = MeasureImages(reader_, {first, second, third});
  ASSERT_EQ(usages.size(), 3u);
  ASSERT_OK(usages[0]);
  EXPECT_EQ(usages[0]->layers, 2u);
  EXPECT_EQ(usages[0]->stored_bytes, 110'000u);
  EXPECT_EQ(usages[0]->shared_bytes, 80'000u);
  ASSERT_OK(usages[1]);
  EXPECT_EQ(usages[1]->layers, 3u);
  EXPECT_EQ(usages[1]->stored_bytes, 80'000u);
  EXPECT_EQ(usages[1]->shared_bytes, 80'000u);
  ASSERT_OK(usages[2]);
  EXPECT_EQ(usages[2]->stored_bytes, 10'000u);
  EXPECT_EQ(usages[2]->shared_bytes, 0u);
}

TEST_F(ImageUsageTest, TwoNamesOfOneChainShareAll) {
  const Digest chain = AddImage({TarBuilder().File("f", testing::RandomBytes(5'000, 1)).End()});
  const auto usages = MeasureImages(reader_, {chain, chain});
  EXPECT_EQ(usages[0]->shared_bytes, 5'000u);
  EXPECT_EQ(usages[1]->shared_bytes, 5'000u);
}

TEST_F(ImageUsageTest, AnImageThatCannotBeReadDoesNotHideTheOthers) {
  const Digest chain = AddImage({TarBuilder().File("f", testing::RandomBytes(5'000, 1)).End()});
  const Digest broken = AddImage({TarBuilder().File("g", testing::RandomBytes(6'000, 2)).End()});
  const Digest record = reader_.ReadManifest(broken)->layers[0].record;
  ASSERT_OK(store_->Replace("locations/" + record.ToHex(), "damaged"));
  const auto usages = MeasureImages(reader_, {broken, chain, Sha256::Of("none")});
  EXPECT_THAT(usages[0], StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(usages[1]->stored_bytes, 5'000u);
  EXPECT_THAT(usages[2], StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace slacker
