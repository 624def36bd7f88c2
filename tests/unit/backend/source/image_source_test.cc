#include "backend/source/image_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/source/layout_source.h"
#include "backend/source/platform.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::OciLayout;
using testing::StatusIs;
using testing::WrittenImage;

constexpr char kIndexType[] = "application/vnd.oci.image.index.v1+json";

class ResolveImageTest : public ::testing::Test {
 protected:
  absl::StatusOr<ResolvedImage> Resolve(const std::string& tag, const Platform& platform = kAmd64) {
    auto source = OpenLayoutSource(layout_.directory(), tag);
    if (!source.ok()) return source.status();
    return ResolveImage(**source, platform);
  }
  testing::ImageLayer Layer(const std::string& content) {
    return testing::PlainLayer(testing::TarBuilder().File("a", content).End());
  }

  inline static const Platform kAmd64 = {"linux", "amd64", ""};
  inline static const Platform kArm64 = {"linux", "arm64", "v8"};
  const testing::TempDir dir_;
  OciLayout layout_{dir_ / "layout"};
};

TEST_F(ResolveImageTest, ATagSelectsAnImage) {
  const WrittenImage one = layout_.AddImage({Layer("1")}, "one");
  const WrittenImage two = layout_.AddImage({Layer("2"), Layer("3")}, "example.org/two:v1");
  EXPECT_EQ(Resolve("one")->manifest_digest, one.manifest);
  EXPECT_EQ(Resolve("example.org/two:v1")->diff_ids, two.diff_ids);
  EXPECT_THAT(Resolve("three"), StatusIs(absl::StatusCode::kNotFound, "example.org/two:v1"));
}

TEST_F(ResolveImageTest, AnIndexIsSearchedForThePlatform) {
  const WrittenImage amd64 = layout_.AddImage({Layer("1")}, "", kAmd64);
  const WrittenImage arm64 = layout_.AddImage({Layer("2")}, "", kArm64);
  EXPECT_EQ(Resolve("")->manifest_digest, amd64.manifest);
  EXPECT_EQ(Resolve("", {"linux", "arm64", ""})->manifest_digest, arm64.manifest);
  EXPECT_THAT(Resolve("", {"linux", "s390x", ""}),
              StatusIs(absl::StatusCode::kNotFound, "linux/amd64, linux/arm64/v8"));
}

TEST_F(ResolveImageTest, NestedIndexesAreFollowedToALimit) {
  const WrittenImage image = layout_.AddImage({Layer("1")}, "image");
  std::string type = "application/vnd.oci.image.manifest.v1+json";
  Digest digest = image.manifest;
  size_t size = image.manifest_json.size();
  for (int depth = 1; depth <= 6; ++depth) {
    const std::string index = R"({"schemaVersion":2,"manifests":[{"mediaType":")" + type +
                              R"(","digest":")" + digest.ToString() + R"(","size":)" +
                              std::to_string(size) + "}]}";
    type = kIndexType;
    digest = layout_.AddBlob(index);
    size = index.size();
    layout_.AddEntry(type, digest, size, "depth" + std::to_string(depth), {});
  }
  EXPECT_EQ(Resolve("depth3")->manifest_digest, image.manifest);
  EXPECT_THAT(Resolve("depth6"), StatusIs(absl::StatusCode::kInvalidArgument, "nested"));
}

TEST_F(ResolveImageTest, PlatformsAreListedOnceAndWithoutWhatIsNoImageForLinux) {
  const auto list = [this](const std::string& tag) {
    std::string text;
    const auto platforms = ListPlatforms(**OpenLayoutSource(layout_.directory(), tag));
    if (!platforms.ok()) return platforms.status().ToString();
    for (const Platform& platform : *platforms) text += FormatPlatform(platform) + " ";
    return text;
  };
  layout_.AddImage({Layer("1")}, "one", kArm64);
  EXPECT_EQ(list("one"), "linux/arm64/v8 ");
  layout_.AddImage({Layer("2")}, "", kAmd64);
  layout_.AddImage({Layer("3")}, "", {"linux", "arm64", ""});
  layout_.AddImage({Layer("4")}, "", {"unknown", "unknown", ""});
  layout_.AddImage({Layer("5")}, "", {"windows", "amd64", ""});
  const WrittenImage arm = layout_.AddImage({Layer("6")}, "arm", {"linux", "arm", "v6"});
  // An entry without a platform: its configuration has it.
  layout_.AddEntry("application/vnd.oci.image.manifest.v1+json", arm.manifest,
                   arm.manifest_json.size(), "", {});
  EXPECT_EQ(list(""), "linux/arm64/v8 linux/amd64 linux/arm/v6 ");
}

TEST_F(ResolveImageTest, NothingForLinuxIsNotFound) {
  layout_.AddImage({Layer("1")}, "", {"windows", "amd64", ""});
  EXPECT_THAT(ListPlatforms(**OpenLayoutSource(layout_.directory(), "")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ResolveImageTest, AConfigurationOfAnotherPlatformIsNotTaken) {
  layout_.AddImage({Layer("1")}, "arm", kArm64);
  EXPECT_THAT(Resolve("arm"), StatusIs(absl::StatusCode::kNotFound, "linux/arm64/v8"));
}

TEST_F(ResolveImageTest, AnImageWithoutLayersIsRefused) {
  layout_.AddImage({}, "empty");
  EXPECT_THAT(Resolve("empty"), StatusIs(absl::StatusCode::kInvalidArgument, "no layers"));
}

TEST_F(ResolveImageTest, UnlikeNumbersOfLayersAndDiffIdsAreRefused) {
  const WrittenImage image = layout_.AddImage({Layer("1")}, "one");
  const std::string config = R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}})";
  std::string manifest = image.manifest_json;
  const std::string old_config = image.config.ToString();
  manifest.replace(manifest.find(old_config), old_config.size(),
                   layout_.AddBlob(config).ToString());
  const std::string old_size =
      R"("size":)" + std::to_string(testing::ReadFileOrDie(layout_.BlobPath(image.config)).size());
  manifest.replace(manifest.find(old_size), old_size.size(),
                   R"("size":)" + std::to_string(config.size()));
  layout_.AddEntry("application/vnd.oci.image.manifest.v1+json", layout_.AddBlob(manifest),
                   manifest.size(), "bad", kAmd64);
  EXPECT_THAT(Resolve("bad"),
              StatusIs(absl::StatusCode::kInvalidArgument, "1 layers but the configuration 0"));
}

TEST_F(ResolveImageTest, AForeignLayerIsRefused) {
  testing::ImageLayer layer = Layer("1");
  layer.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  layout_.AddImage({layer}, "foreign");
  EXPECT_THAT(Resolve("foreign"), StatusIs(absl::StatusCode::kInvalidArgument, "foreign"));
}

}  // namespace
}  // namespace slacker
