#include "backend/publish/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/base/status.h"
#include "backend/loopback/loopback_backend.h"
#include "backend/publish/verifier.h"
#include "backend/registry/registry_source.h"
#include "backend/store/names.h"
#include "tests/support/registry_process.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::GzipLayer;
using testing::ImageLayer;
using ::testing::IsEmpty;
using testing::PublishLayout;
using testing::StatusIs;
using testing::TarBuilder;
using testing::WrittenImage;

class PublisherTest : public ::testing::Test {
 protected:
  // Nothing of a store that a node could see.
  void ExpectNothingVisible() {
    EXPECT_THAT(*store_->List("manifests/"), IsEmpty());
    EXPECT_THAT(*store_->List("images/"), IsEmpty());
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
};

TEST_F(PublisherTest, EveryPrefixOfAnImageIsPublishedAndSound) {
  const WrittenImage image = layout_.AddImage(testing::SampleLayers(), "v1");
  ASSERT_OK_AND_ASSIGN(const PublishedImage published, PublishLayout(layout_, store_, "v1"));
  EXPECT_EQ(published.entry.chain_id, image.chain_id);
  EXPECT_EQ(published.entry.name, "oci:" + layout_.directory() + ":v1");
  EXPECT_EQ(published.entry.manifest_digest, image.manifest.ToString());
  EXPECT_EQ(published.entry.config_json, testing::ReadFileOrDie(layout_.BlobPath(image.config)));
  EXPECT_EQ(published.totals.downloaded_bytes, published.entry.compressed_bytes);
  const StoreReader reader(store_);
  for (size_t i = 1; i <= image.diff_ids.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const Manifest manifest,
                         reader.ReadManifest(ChainId(std::span(image.diff_ids).first(i))));
    EXPECT_EQ(manifest.layers.size(), i);
    EXPECT_EQ(manifest.layers.back().diff_id, image.diff_ids[i - 1]);
  }
  ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store_));
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(images[0].chain_id, image.chain_id);
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
  EXPECT_THAT(report.damages, IsEmpty());
  EXPECT_EQ(report.layers, 3u);
}

// Nodes of different makers agree on these, and stores outlive programs: another value here is another
// format (docs/formats.md).
TEST_F(PublisherTest, TheSameTarsGiveTheSameRecordsAndManifestAtAnyTimeAndPlace) {
  const std::string tar =
      TarBuilder()
          .Pax({{"mtime", "1600000000.123456789"}, {"SCHILY.xattr.user.a", "b"}})
          .File("bin/tool", testing::RandomBytes(150'000, 1), 04755)
          .Link("bin/same", "bin/tool")
          .Add(testing::MakeDevice("null", '3', 1, 3))
          .Symlink("a\xff", "bin/tool")
          .File("sparse", std::string(70'000, '\0'))
          .End();
  const WrittenImage image = layout_.AddImage(
      {GzipLayer(tar), testing::PlainLayer(TarBuilder().File(".wh.null", "").End())});
  ASSERT_OK(PublishLayout(layout_, store_));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, StoreReader(store_).ReadManifest(image.chain_id));
  ASSERT_EQ(manifest.layers.size(), 2u);
  EXPECT_EQ(manifest.layers[0].record.ToHex(),
            "9b73d579a05fae54d8ca4cd43bf54a1fa4af09c1d4563d660a81c00e7740cffa");
  EXPECT_EQ(manifest.layers[1].record.ToHex(),
            "572f8983980df5642c44ca9da69b8be8c8658b609cb6fd8c92c3cae7a80f1799");
  ASSERT_OK_AND_ASSIGN(const std::string body,
                       store_->ReadWhole(ManifestName(image.chain_id, std::nullopt), 1 << 20));
  EXPECT_EQ(Sha256::Of(body).ToHex(),
            "2aad38ca35d84b7a89f5b748659b4dbe4340ecd68a3a57326c91fec556937fcc");
}

TEST_F(PublisherTest, PublishingAgainDownloadsAndStoresNothing) {
  layout_.AddImage(testing::SampleLayers());
  ASSERT_OK(PublishLayout(layout_, store_));
  ASSERT_OK_AND_ASSIGN(const auto before, store_->List("packs/"));
  ASSERT_OK_AND_ASSIGN(const PublishedImage again, PublishLayout(layout_, store_));
  EXPECT_EQ(again.totals.layers_reused, 3u);
  EXPECT_EQ(again.totals.downloaded_bytes, 0u);
  EXPECT_EQ(*store_->List("packs/"), before);
}

TEST_F(PublisherTest, ASharedBaseIsNotDownloadedAgain) {
  std::vector<ImageLayer> layers = testing::SampleLayers();
  layout_.AddImage(layers, "base");
  ASSERT_OK(PublishLayout(layout_, store_, "base"));
  layers.push_back(GzipLayer(TarBuilder().File("app", "x").End()));
  layout_.AddImage(layers, "app");
  ASSERT_OK_AND_ASSIGN(const PublishedImage app, PublishLayout(layout_, store_, "app"));
  EXPECT_EQ(app.totals.layers_reused, 3u);
  EXPECT_EQ(app.totals.downloaded_bytes, layers.back().blob.size());
  EXPECT_THAT(VerifyStore(store_)->damages, IsEmpty());
}

TEST_F(PublisherTest, AConfigurationThatLiesAboutADiffIdPublishesNothing) {
  for (size_t liar = 0; liar < 3; ++liar) {
    std::vector<ImageLayer> layers = testing::SampleLayers();
    layers[liar].diff_id.bytes[0] ^= 1;
    const std::string tag = "lie" + std::to_string(liar);
    layout_.AddImage(layers, tag);
    EXPECT_THAT(PublishLayout(layout_, store_, tag),
                StatusIs(absl::StatusCode::kDataLoss, "configuration says"));
    ExpectNothingVisible();
  }
}

TEST_F(PublisherTest, ADamagedBlobPublishesNothing) {
  const std::vector<ImageLayer> layers = testing::SampleLayers();
  layout_.AddImage(layers);
  std::string blob = layers[1].blob;
  blob.back() = static_cast<char>(blob.back() ^ 1);
  testing::WriteFileOrDie(layout_.BlobPath(Sha256::Of(layers[1].blob)), blob);
  EXPECT_FALSE(PublishLayout(layout_, store_).ok());
  ExpectNothingVisible();
}

// A truncated tar whose digests are all right: only those cut between entries are tars. (The reader's
// own test cuts at every byte.)
TEST_F(PublisherTest, ATruncatedTarIsRefusedOrAWholeLayer) {
  const std::string tar =
      TarBuilder().Directory("d").File("d/a", std::string(700, 'a')).Symlink("l", "d/a").End();
  size_t published = 0;
  for (size_t size = 0; size < tar.size(); size += size % 128 == 1 ? 127 : 1) {
    const std::string tag = "v" + std::to_string(size);
    layout_.AddImage({GzipLayer(tar.substr(0, size))}, tag);
    const auto image = PublishLayout(layout_, store_, tag);
    if (image.ok()) {
      ++published;
      EXPECT_EQ(size % 512, 0u) << size;
    } else {
      ASSERT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument, "layer 1 of 1")) << size;
    }
  }
  EXPECT_LE(published, 6u);  // nothing, after each entry, and after one block of zeros
  EXPECT_EQ(store_->List("images/")->size(), published);
  EXPECT_THAT(VerifyStore(store_)->damages, IsEmpty());
}

TEST_F(PublisherTest, ABlobTruncatedAtAnyByteIsRefused) {
  const ImageLayer layer = GzipLayer(TarBuilder().File("a", std::string(700, 'a')).End());
  layout_.AddImage({layer});
  for (size_t size = 0; size < layer.blob.size(); ++size) {
    testing::WriteFileOrDie(layout_.BlobPath(Sha256::Of(layer.blob)), layer.blob.substr(0, size));
    ASSERT_FALSE(PublishLayout(layout_, store_).ok()) << size;
  }
  ExpectNothingVisible();
}

TEST_F(PublisherTest, ALayerThatIsNoTarPublishesNothing) {
  layout_.AddImage({GzipLayer(std::string(5000, 'x'))});
  EXPECT_THAT(PublishLayout(layout_, store_),
              StatusIs(absl::StatusCode::kInvalidArgument, "layer 1 of 1"));
  ExpectNothingVisible();
}

TEST_F(PublisherTest, ALayerBeyondTheLimitPublishesNothing) {
  layout_.AddImage(testing::SampleLayers());
  ASSERT_OK_AND_ASSIGN(const auto source, OpenLayoutSource(layout_.directory(), ""));
  PublishOptions options;
  options.platform = testing::kTestPlatform;
  options.max_layer_tar_bytes = 100'000;
  EXPECT_THAT(Publish(*source, store_, options, nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted));
  // What announces as much is not even begun.
  options.max_layer_tar_bytes = 10;
  EXPECT_THAT(Publish(*source, store_, options, nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted, "more than the limit of 10"));
  ExpectNothingVisible();
}

TEST_F(PublisherTest, AnImageOfTooManyFilesToGuessIsSoundWithoutABootPack) {
  layout_.AddImage(testing::SampleLayers());
  PublishOptions options;
  options.platform = testing::kTestPlatform;
  options.max_guess_table_bytes = 1000;
  ASSERT_OK_AND_ASSIGN(auto source, OpenLayoutSource(layout_.directory(), ""));
  ASSERT_OK(Publish(*source, store_, options, nullptr));
  EXPECT_THAT(*store_->List("boot/"), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
  EXPECT_THAT(report.damages, IsEmpty());

  ASSERT_OK(PublishLayout(layout_, store_));
  EXPECT_EQ(store_->List("boot/")->size(), 1u);
}

// Sums over the layers do not tell of these whether nodes can build their trees: they are merged.
std::string TarWithXattrs(int count, size_t bytes) {
  testing::PaxList records;
  for (int i = 0; i < count; ++i) {
    records.emplace_back("SCHILY.xattr.user." + std::to_string(i), std::string(bytes, 'v'));
  }
  return TarBuilder().File("kept", "k").Pax(records).File("attributes", "a").End();
}

TEST_F(PublisherTest, AnImageThatOnlyMergingShowsToBeBuildableIsPublished) {
  const WrittenImage image = layout_.AddImage(
      {GzipLayer(TarWithXattrs(5, 60'000)), GzipLayer(TarBuilder().File("upper", "u").End())});
  ASSERT_OK(PublishLayout(layout_, store_));
  EXPECT_THAT(VerifyChain(store_, image.chain_id)->damages, IsEmpty());
}

TEST_F(PublisherTest, AnImageThatNoNodeCouldBuildPublishesNothing) {
  layout_.AddImage({GzipLayer(TarWithXattrs(1, 65'536))});
  EXPECT_THAT(PublishLayout(layout_, store_),
              StatusIs(absl::StatusCode::kResourceExhausted, "longer than EROFS can store"));
  ExpectNothingVisible();
}

// A prefix gets a manifest, too, and containers.
TEST_F(PublisherTest, AnImageWithAPrefixThatNoNodeCouldBuildPublishesNothing) {
  layout_.AddImage({GzipLayer(TarWithXattrs(1, 65'536)),
                    GzipLayer(TarBuilder().File(".wh.attributes", "").End())});
  EXPECT_THAT(PublishLayout(layout_, store_),
              StatusIs(absl::StatusCode::kResourceExhausted, "layer 1 of 2"));
  ExpectNothingVisible();
}

TEST_F(PublisherTest, TheWrongMediaTypeOfALayerDoesNotMatter) {
  std::vector<ImageLayer> layers = testing::SampleLayers();
  std::swap(layers[0].media_type, layers[2].media_type);
  layout_.AddImage(layers);
  EXPECT_OK(PublishLayout(layout_, store_));
}

// As a collection without grace may.
TEST_F(PublisherTest, OnlyTheLayerThatWasTakenAwayBeforeTheEndIsDownloadedAgain) {
  const std::vector<ImageLayer> layers = {
      GzipLayer(TarBuilder().File("one", testing::RandomBytes(300'000, 1)).End()),
      GzipLayer(TarBuilder().File("two", testing::RandomBytes(100'000, 2)).End())};
  layout_.AddImage(layers);
  ASSERT_OK_AND_ASSIGN(const auto source, OpenLayoutSource(layout_.directory(), ""));
  PublishOptions options;
  options.platform = testing::kTestPlatform;
  std::vector<std::string> of_first;
  bool taken = false;
  ASSERT_OK_AND_ASSIGN(const PublishedImage published,
                       Publish(*source, store_, options, [&](const PublishProgress& progress) {
                         if (progress.layers_done == 1 && of_first.empty())
                           of_first = *store_->List("packs/");
                         if (progress.layers_done != 2 || taken) return;
                         taken = true;
                         const std::vector<std::string> packs = *store_->List("packs/");
                         for (const std::string& name : packs) {
                           if (std::ranges::find(of_first, name) != of_first.end()) continue;
                           EXPECT_OK(store_->Remove(name));
                         }
                       }));
  EXPECT_TRUE(taken);
  EXPECT_EQ(published.totals.downloaded_bytes, layers[0].blob.size() + 2 * layers[1].blob.size());
  EXPECT_THAT(VerifyStore(store_)->damages, IsEmpty());
}

TEST_F(PublisherTest, ProgressReachesTheTotals) {
  layout_.AddImage(testing::SampleLayers());
  ASSERT_OK_AND_ASSIGN(const auto source, OpenLayoutSource(layout_.directory(), ""));
  PublishOptions options;
  options.platform = testing::kTestPlatform;
  PublishProgress last;
  ASSERT_OK(Publish(*source, store_, options, [&last](const PublishProgress& progress) {
    EXPECT_GE(progress.layers_done, last.layers_done);
    EXPECT_GE(progress.downloaded_bytes, last.downloaded_bytes);
    last = progress;
  }));
  EXPECT_EQ(last.layers_done, 3u);
  EXPECT_EQ(last.downloaded_bytes, last.download_bytes);
  EXPECT_GT(last.stored_bytes, testing::kSampleToolBytes + 100'000);
}

TEST_F(PublisherTest, ARegistrysImageGoesIntoADirectory) {
  const WrittenImage image = layout_.AddImage(testing::SampleLayers());
  const testing::RegistryProcess registry(dir_.path());
  ASSERT_NE(registry.host(), "");
  testing::InstallInRegistry(layout_, image, registry.storage(), "team/app", "v1");
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Backend> store,
                       LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate));
  ASSERT_OK_AND_ASSIGN(
      const auto source,
      OpenRegistrySource(*ParseImageReference(registry.host() + "/team/app:v1"), {}));
  PublishOptions options;
  options.platform = testing::kTestPlatform;
  ASSERT_OK(Publish(*source, store, options, nullptr));
  EXPECT_THAT(VerifyChain(store, image.chain_id)->damages, IsEmpty());
}

}  // namespace
}  // namespace slacker
