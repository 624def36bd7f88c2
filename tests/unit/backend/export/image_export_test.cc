#include "backend/export/image_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "backend/base/status.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::GzipLayer;
using testing::OciLayout;
using testing::PublishLayout;
using testing::ReadFileOrDie;
using testing::StatusIs;
using testing::WrittenImage;

class ImageExportTest : public ::testing::Test {
 protected:
  ImageEntry Publish(const std::vector<testing::ImageLayer>& layers) {
    written_ = layout_.AddImage(layers);
    auto published = PublishLayout(layout_, store_);
    EXPECT_OK(published);
    return published->entry;
  }
  absl::StatusOr<ExportedImage> Export(const ImageEntry& entry, const ImageNames& names = {}) {
    ASSIGN_OR_RETURN(const auto sink, OpenLayoutSink(out_, names));
    return ExportImage(reader_, entry, *sink, nullptr);
  }
  std::string Blob(const Digest& digest) const {
    return ReadFileOrDie(out_ + "/blobs/sha256/" + digest.ToHex());
  }
  // Publishes what was exported into an empty store.
  absl::StatusOr<PublishedImage> PublishAgain() {
    auto source = OpenLayoutSource(out_, "");
    if (!source.ok()) return source.status();
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    return slacker::Publish(**source, std::make_shared<MemoryBackend>(), options, nullptr);
  }

  const testing::TempDir dir_;
  OciLayout layout_{dir_ / "layout"};
  const std::string out_ = dir_ / "out";
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
  const StoreReader reader_{store_};
  WrittenImage written_;
};

TEST_F(ImageExportTest, WhatZlibOrNobodyCompressedComesBackByteForByte) {
  const std::vector<std::string> tars = testing::SampleTars();
  const ImageEntry entry =
      Publish({GzipLayer(tars[0]), testing::PlainLayer(tars[1]), GzipLayer(tars[2])});
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  EXPECT_TRUE(image.original_manifest);
  EXPECT_EQ(image.manifest.digest, written_.manifest);
  EXPECT_EQ(Blob(image.manifest.digest), written_.manifest_json);
  ASSERT_EQ(image.layers.size(), 3u);
  for (const ExportedLayer& layer : image.layers) {
    EXPECT_TRUE(layer.original);
    EXPECT_TRUE(Blob(layer.blob.digest) == ReadFileOrDie(layout_.BlobPath(layer.blob.digest)));
  }
}

// As hellobench's recipes, gzip -n, pigz and zstd make them.
TEST_F(ImageExportTest, WhatUsualProgramsMadeComesBackWithItsOwnManifest) {
  std::vector<testing::ImageLayer> layers;
  for (const char* program :
       {"gzip -n < in > blob", "gzip -n -9 < in > blob", "pigz -p1 < in > blob",
        "zstd -q -f -o blob in", "zstd -q -f -19 < in > blob",
        "python3 -c 'import gzip; open(\"blob\", \"wb\").write(gzip.compress("
        "open(\"in\", \"rb\").read(), mtime=0))'"}) {
    const uint64_t seed = layers.size();
    testing::TarBuilder tar;
    for (int i = 0; i < 40; ++i) {
      tar.File("file-" + std::to_string(i), testing::RandomBytes(20'000, 100 * seed + i) +
                                                std::string(50'000, static_cast<char>('a' + i)));
    }
    const testing::ImageLayer plain = testing::PlainLayer(tar.End());
    testing::WriteFileOrDie(dir_ / "in", plain.blob);
    const std::string command = "cd '" + dir_.path() + "' && rm -f blob && " + std::string(program);
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    layers.push_back({ReadFileOrDie(dir_ / "blob"), plain.diff_id,
                      "application/vnd.oci.image.layer.v1.tar+gzip"});
  }
  const ImageEntry entry = Publish(layers);
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  for (size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(image.layers[i].blob.digest, Sha256::Of(layers[i].blob)) << i;
  }
  EXPECT_TRUE(image.original_manifest);
  EXPECT_EQ(image.manifest.digest, written_.manifest);
  EXPECT_EQ(Blob(image.manifest.digest), written_.manifest_json);
}

// The store keeps the beginnings of blobs by the record, whoever published that.
TEST_F(ImageExportTest, LayersThatWereKnownWhenItWasPublishedComeBackToo) {
  const std::vector<std::string> tars = testing::SampleTars();
  (void)Publish({testing::ZstdLayer(tars[0])});
  const ImageEntry entry = Publish({testing::ZstdLayer(tars[0]), testing::ZstdLayer(tars[1])});
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  EXPECT_TRUE(image.original_manifest);
}

// Older stores have none, and what somebody may have written there is not believed.
TEST_F(ImageExportTest, WithoutItsBeginningALayerIsCompressedAnew) {
  const ImageEntry entry = Publish({testing::ZstdLayer(testing::SampleTars()[0])});
  ASSERT_OK_AND_ASSIGN(const auto heads, store_->List("heads/"));
  ASSERT_EQ(heads.size(), 1u);
  for (const std::string& head :
       {std::string("garbage"), std::string(1 << 20, 'x'), std::string()}) {
    ASSERT_OK(store_->Replace(heads[0], head));
    ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
    EXPECT_FALSE(image.original_manifest);
  }
  ASSERT_OK(store_->Remove(heads[0]));
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  EXPECT_FALSE(image.original_manifest);
}

TEST_F(ImageExportTest, WhatCannotBeReproducedHasNewDigestsAndTheSameChain) {
  const std::vector<std::string> tars = testing::SampleTars();
  const ImageEntry entry =
      Publish({GzipLayer(tars[0]), testing::OddLayer(tars[1]), testing::PlainLayer(tars[2])});
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  EXPECT_FALSE(image.original_manifest);
  EXPECT_TRUE(image.layers[0].original);
  EXPECT_FALSE(image.layers[1].original);
  EXPECT_TRUE(image.layers[2].original);
  EXPECT_EQ(Blob(written_.config), entry.config_json);
  ASSERT_OK_AND_ASSIGN(const PublishedImage again, PublishAgain());
  EXPECT_EQ(again.entry.chain_id, written_.chain_id);
  EXPECT_EQ(again.entry.config_json, entry.config_json);
  EXPECT_EQ(again.entry.manifest_digest, image.manifest.digest.ToString());
}

TEST_F(ImageExportTest, AnEntryOfAnOlderProgramIsEnough) {
  ImageEntry entry = Publish(testing::SampleLayers());
  entry.manifest_json.clear();
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  for (const ExportedLayer& layer : image.layers) EXPECT_FALSE(layer.original);
  ASSERT_OK_AND_ASSIGN(const PublishedImage again, PublishAgain());
  EXPECT_EQ(again.entry.chain_id, written_.chain_id);
}

TEST_F(ImageExportTest, ALayerThatOccursTwiceIsWrittenOnce) {
  const std::string tar = testing::SampleTars()[2];
  const ImageEntry entry = Publish({GzipLayer(tar), GzipLayer(tar)});
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(entry));
  ASSERT_EQ(image.layers.size(), 2u);
  EXPECT_EQ(image.layers[0].blob.digest, image.layers[1].blob.digest);
  ASSERT_OK_AND_ASSIGN(const PublishedImage again, PublishAgain());
  EXPECT_EQ(again.entry.chain_id, written_.chain_id);
}

TEST_F(ImageExportTest, WhatAnEntryClaimsIsNotBelieved) {
  const ImageEntry entry = Publish(testing::SampleLayers());
  ImageEntry other_config = entry;
  other_config.config_json = R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers",)"
                             R"("diff_ids":[")" +
                             Sha256::Of("x").ToString() + R"("]}})";
  EXPECT_THAT(Export(other_config), StatusIs(absl::StatusCode::kDataLoss));
  ImageEntry lies = entry;
  ASSERT_OK_AND_ASSIGN(const ExportedImage honest, Export(entry));
  for (const ExportedLayer& layer : honest.layers) {
    const std::string digest = layer.blob.digest.ToString();
    const size_t at = lies.manifest_json.find(digest);
    if (at == std::string::npos) continue;
    lies.manifest_json.replace(at, digest.size(), Sha256::Of("lie").ToString());
  }
  ASSERT_OK_AND_ASSIGN(const ExportedImage image, Export(lies));
  EXPECT_FALSE(image.original_manifest);
  for (const ExportedLayer& layer : image.layers) EXPECT_FALSE(layer.original);
}

TEST_F(ImageExportTest, DamageStopsItAndNothingIsListed) {
  const ImageEntry entry = Publish(testing::SampleLayers());
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, store_->List("packs/"));
  for (const std::string& name : names) {
    if (name.ends_with(".idx")) continue;
    std::string pack = store_->ReadWhole(name, 8 << 20).value();
    pack[pack.size() / 2] ^= 1;
    ASSERT_OK(store_->Replace(name, pack));
  }
  EXPECT_THAT(Export(entry), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(std::filesystem::exists(out_ + "/index.json"));
}

TEST_F(ImageExportTest, WhatCannotBeWrittenLeavesNoHalfOfIt) {
  const ImageEntry entry = Publish(testing::SampleLayers());
  std::filesystem::create_directories(out_ + "/index.json");  // in the way
  EXPECT_FALSE(Export(entry).ok());
  for (const auto& file : std::filesystem::recursive_directory_iterator(out_)) {
    EXPECT_NE(file.path().extension(), ".new") << file.path();
  }
}

TEST_F(ImageExportTest, SeveralImagesLiveInOneLayout) {
  const ImageEntry first = Publish({GzipLayer(testing::SampleTars()[0])});
  ASSERT_OK(Export(first, {"one", "", testing::kTestPlatform}));
  auto source = OpenLayoutSource(out_, "one");
  ASSERT_OK(source);
  const Digest chain = written_.chain_id;
  const OciLayout other(dir_ / "other");
  ASSERT_OK_AND_ASSIGN(const ResolvedImage resolved,
                       ResolveImage(**source, testing::kTestPlatform));
  EXPECT_EQ(ChainId(resolved.diff_ids), chain);
}

TEST_F(ImageExportTest, AnArchiveAppearsWhenItIsComplete) {
  const ImageEntry entry = Publish(testing::SampleLayers());
  const std::string path = dir_ / "image.tar";
  {
    ASSERT_OK_AND_ASSIGN(const auto sink, OpenArchiveSink(path, {}));
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  const auto count = [this] {
    const auto entries = std::filesystem::directory_iterator(dir_.path());
    return std::distance(begin(entries), end(entries));
  };
  const auto before = count();
  {
    ASSERT_OK_AND_ASSIGN(const auto sink, OpenArchiveSink(path, {"v1", "", entry.platform}));
    ASSERT_OK(ExportImage(reader_, entry, *sink, nullptr));
  }
  EXPECT_EQ(count(), before + 1);
  const std::string unpack = "mkdir '" + out_ + "' && tar -xf '" + path + "' -C '" + out_ + "'";
  ASSERT_EQ(std::system(unpack.c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const PublishedImage again, PublishAgain());
  EXPECT_EQ(again.entry.chain_id, written_.chain_id);
}

}  // namespace
}  // namespace slacker
