// node release, with a containerd that has pulled an image lazily.
#include <gmock/gmock.h>

#include "tests/support/fake_containerd.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/cmd/slackerctl/slackerctl_fixture.h"

namespace slacker::ctl {
namespace {

using ::testing::HasSubstr;

constexpr char kName[] = "docker.io/library/app:v1";

class NodeReleaseTest : public testing::SlackerctlTest {
 protected:
  // Published, and in containerd but for its layers.
  void PullLazily(const testing::ImageLayer& layer) {
    image_ = layout_.AddImage({layer}, "v1");
    ASSERT_EQ(Run({"publish", "oci:" + layout_.directory() + ":v1", "--store", url_}), kExitOk)
        << err_.str();
    for (const Digest& digest : {image_.manifest, image_.config}) {
      containerd_.blobs[digest.ToString()] = testing::ReadFileOrDie(layout_.BlobPath(digest));
    }
    testing::images::Descriptor& target = containerd_.images[kName];
    target.set_media_type("application/vnd.oci.image.manifest.v1+json");
    target.set_digest(image_.manifest.ToString());
    target.set_size(static_cast<int64_t>(image_.manifest_json.size()));
  }
  std::vector<std::string> Words(std::vector<std::string> words) const {
    words.insert(words.begin(), {"node", "release"});
    words.insert(words.end(),
                 {"--containerd-address", dir_ / "sock", "--containerd-namespace", "ns"});
    return words;
  }
  std::string LabelOf(const std::string& blob, const std::string& name) {
    return containerd_.labels[blob]["containerd.io/gc.ref.content." + name];
  }

  const std::string tar_ = testing::TarBuilder().File("file", testing::RandomBytes(300'000, 1)).End();
  testing::WrittenImage image_;
  testing::FakeContainerd containerd_{dir_ / "sock"};
};

TEST_F(NodeReleaseTest, LayersThatComeOutAsTheyWereCompleteTheImage) {
  const testing::ImageLayer layer = testing::GzipLayer(tar_);
  PullLazily(layer);
  const nlohmann::json told = RunJson(Words({kName}));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0]["missing"], 1);
  EXPECT_EQ(told[0]["original_manifest"], true);
  const std::string blob = Sha256::Of(layer.blob).ToString();
  EXPECT_TRUE(containerd_.blobs[blob] == layer.blob);
  EXPECT_EQ(containerd_.images[kName].digest(), image_.manifest.ToString());
  EXPECT_EQ(LabelOf(image_.manifest.ToString(), "l.0"), blob) << "else it would be collected";
  EXPECT_EQ(containerd_.unleased_writes, 0U);
  EXPECT_EQ(containerd_.lease, "") << "it is given up";

  EXPECT_EQ(RunJson(Words({"--all"}))[0]["missing"], 0);
}

TEST_F(NodeReleaseTest, LayersThatDoNotGetANewManifestOfTheSameImage) {
  PullLazily(testing::OddLayer(tar_));
  const nlohmann::json told = RunJson(Words({kName}));
  EXPECT_EQ(told[0]["original_manifest"], false);
  const std::string manifest = containerd_.images[kName].digest();
  EXPECT_NE(manifest, image_.manifest.ToString());
  EXPECT_EQ(told[0]["manifest_digest"], manifest);
  ASSERT_TRUE(containerd_.blobs.contains(manifest));
  const auto json = nlohmann::json::parse(containerd_.blobs[manifest]);
  EXPECT_EQ(json["config"]["digest"], image_.config.ToString());
  const std::string layer = json["layers"][0]["digest"];
  EXPECT_TRUE(containerd_.blobs.contains(layer));
  EXPECT_EQ(LabelOf(manifest, "l.0"), layer);
  EXPECT_EQ(LabelOf(manifest, "config"), image_.config.ToString());

  EXPECT_EQ(RunJson(Words({kName}))[0]["missing"], 0);
}

TEST_F(NodeReleaseTest, AnImageThatIsNotInTheStoreFailsAndTheOthersAreReleased) {
  PullLazily(testing::GzipLayer(tar_));
  const testing::WrittenImage other = layout_.AddImage({testing::GzipLayer("another tar")}, "v2");
  for (const Digest& digest : {other.manifest, other.config}) {
    containerd_.blobs[digest.ToString()] = testing::ReadFileOrDie(layout_.BlobPath(digest));
  }
  containerd_.images["a:1"] = containerd_.images[kName];
  containerd_.images["a:1"].set_digest(other.manifest.ToString());
  containerd_.images["a:1"].set_size(static_cast<int64_t>(other.manifest_json.size()));
  std::vector<std::string> words = Words({"--all"});
  words.insert(words.end(), {"--store", url_});
  EXPECT_EQ(Run(words), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("a:1"));
  EXPECT_THAT(out_.str(), HasSubstr("complete"));
  EXPECT_EQ(containerd_.lease, "");
}

TEST_F(NodeReleaseTest, WithoutAnImageItIsWrongUsage) {
  EXPECT_EQ(Run({"node", "release"}), kExitUsage);
  EXPECT_EQ(Run({"node", "release", "a:1", "--all"}), kExitUsage);
  EXPECT_EQ(Run({"node", "leave", "a:1"}), kExitUsage);
}

}  // namespace
}  // namespace slacker::ctl
