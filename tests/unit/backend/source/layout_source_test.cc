#include "backend/source/layout_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "backend/source/verifying_source.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::OciLayout;
using testing::StatusIs;
using testing::WriteFileOrDie;
using testing::WrittenImage;

class LayoutSourceTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> ReadLayer() {
    auto source = OpenLayoutSource(layout_.directory(), "v1");
    if (!source.ok()) return source.status();
    auto image = ResolveImage(**source, {"linux", "amd64", ""});
    if (!image.ok()) return image.status();
    auto blob = (*source)->OpenBlob(image->layers.at(0));
    if (!blob.ok()) return blob.status();
    return ReadAll(**blob, 1 << 20);
  }
  std::string LayerPath() const { return layout_.BlobPath(Sha256::Of(tar_)); }

  const testing::TempDir dir_;
  OciLayout layout_{dir_ / "layout"};
  const std::string tar_ = testing::TarBuilder().File("a", "x").End();
  const WrittenImage image_ = layout_.AddImage({testing::PlainLayer(tar_)}, "v1");
};

TEST_F(LayoutSourceTest, ABlobIsReadAndVerified) { EXPECT_EQ(*ReadLayer(), tar_); }

TEST_F(LayoutSourceTest, OneOfSeveralImagesIsNotChosenByChance) {
  layout_.AddImage({testing::PlainLayer(tar_)}, "v2");
  ASSERT_OK_AND_ASSIGN(const auto source, OpenLayoutSource(layout_.directory(), ""));
  EXPECT_THAT(ResolveImage(*source, {"linux", "amd64", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument, "by its tag: v1, v2"));
  EXPECT_OK(ReadLayer());
}

TEST_F(LayoutSourceTest, ATagOnSeveralPlatformsIsAnImageOfAllOfThem) {
  const Platform arm = {"linux", "arm64", ""};
  const WrittenImage other = layout_.AddImage({testing::PlainLayer(tar_)}, "v1", arm);
  layout_.AddImage({testing::PlainLayer(tar_)}, "v2", {"linux", "s390x", ""});
  ASSERT_OK_AND_ASSIGN(const auto source, OpenLayoutSource(layout_.directory(), "v1"));
  EXPECT_EQ(ResolveImage(*source, {"linux", "amd64", ""})->manifest_digest, image_.manifest);
  EXPECT_EQ(ResolveImage(*source, arm)->manifest_digest, other.manifest);
  EXPECT_EQ(ListPlatforms(*source)->size(), 2u);
}

TEST_F(LayoutSourceTest, AChangedBlobIsDataLoss) {
  std::string changed = tar_;
  changed[600] = 'y';
  WriteFileOrDie(LayerPath(), changed);
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kDataLoss));
  WriteFileOrDie(LayerPath(), tar_.substr(1));
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(LayoutSourceTest, LinksThatLeadOutAreRefused) {
  WriteFileOrDie(dir_ / "outside", tar_);
  std::filesystem::remove(LayerPath());
  std::filesystem::create_symlink("../../../outside", LayerPath());
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kInvalidArgument, "leads out"));
  std::filesystem::remove(LayerPath());
  std::filesystem::create_symlink(dir_ / "outside", LayerPath());
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kInvalidArgument, "leads out"));
}

TEST_F(LayoutSourceTest, AFifoInPlaceOfABlobIsRefused) {
  std::filesystem::remove(LayerPath());
  ASSERT_EQ(mkfifo(LayerPath().c_str(), 0600), 0);
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kInvalidArgument, "regular"));
}

TEST_F(LayoutSourceTest, AMissingBlobIsNotFound) {
  std::filesystem::remove(LayerPath());
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LayoutSourceTest, AManifestBeyondTheLimitIsRefused) {
  const std::string text = image_.manifest_json + std::string(kMaxOciManifestBytes, ' ');
  const Digest digest = layout_.AddBlob(text);
  layout_.AddEntry("application/vnd.oci.image.manifest.v1+json", digest, text.size(), "big", {});
  ASSERT_OK_AND_ASSIGN(auto source, OpenLayoutSource(layout_.directory(), "big"));
  EXPECT_THAT(source->Root(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(LayoutSourceTest, WhatIsNoLayoutIsRefused) {
  EXPECT_THAT(OpenLayoutSource(dir_ / "nowhere", ""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(OpenLayoutSource(dir_.path(), ""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(OpenLayoutSource("", ""), StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char* text : {"", "[]", "{}", R"({"imageLayoutVersion":"2.0.0"})"}) {
    WriteFileOrDie(layout_.directory() + "/oci-layout", text);
    EXPECT_THAT(OpenLayoutSource(layout_.directory(), ""),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

}  // namespace
}  // namespace slacker
