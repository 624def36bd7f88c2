// What the store has is not downloaded, whatever it stands on: asked of a registry that counts.
#include "backend/store/known_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "backend/publish/verifier.h"
#include "backend/registry/registry_source.h"
#include "backend/store/names.h"
#include "tests/support/fake_backend.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeBackend;
using testing::GzipLayer;
using testing::HttpAnswer;
using testing::HttpRequest;
using testing::ImageLayer;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TarBuilder;

constexpr char kRepository[] = "registry.example.com/secret";
constexpr char kOther[] = "registry.example.com/other";

struct By {
  std::string repository = {};  // whom the image is granted to alone
  StoreWriter::Options store = {};
};

class KnownLayersTest : public ::testing::Test {
 protected:
  KnownLayersTest() : registry_([this](const HttpRequest& request) { return Answer(request); }) {}

  static ImageLayer LayerOf(const std::string& name, size_t size = 150'000) {
    return GzipLayer(TarBuilder().File(name, testing::RandomBytes(size, name[0])).End());
  }
  static std::string BlobName(const ImageLayer& layer) { return Sha256::Of(layer.blob).ToString(); }

  Digest AddImage(const std::string& tag, const std::vector<ImageLayer>& layers) {
    const testing::WrittenImage image = layout_.AddImage(layers, tag);
    manifests_[tag] = image.manifest_json;
    return image.chain_id;
  }

  // Publishes an image of these layers and answers which of their blobs were asked for.
  std::vector<std::string> Publish(const std::string& tag, const std::vector<ImageLayer>& layers,
                                   const By& by = {}) {
    AddImage(tag, layers);
    const size_t before = registry_.Requests().size();
    const auto reference = ParseImageReference(registry_.Host() + "/app:" + tag);
    EXPECT_OK(reference);
    auto source = OpenRegistrySource(*reference, {});
    EXPECT_OK(source);
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    options.store = by.store;
    options.private_repository = by.repository;
    EXPECT_OK(slacker::Publish(**source, store_, options, nullptr));
    std::vector<std::string> blobs;
    const std::vector<HttpRequest> requests = registry_.Requests();
    for (size_t i = before; i < requests.size(); ++i) {
      for (const ImageLayer& layer : layers) {
        if (requests[i].path != "/v2/app/blobs/" + BlobName(layer)) continue;
        blobs.push_back(BlobName(layer));
        break;
      }
    }
    return blobs;
  }
  void ExpectSound() {
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
    EXPECT_THAT(report.damages, IsEmpty());
  }
  std::vector<std::string> LayerNames() { return store_->List(kLayersPrefix).value(); }

  const ImageLayer a_ = LayerOf("a"), b_ = LayerOf("b"), c_ = LayerOf("c");
  const std::shared_ptr<FakeBackend> store_ = std::make_shared<FakeBackend>();

 private:
  HttpAnswer Answer(const HttpRequest& request) {
    const std::string manifests = "/v2/app/manifests/", blobs = "/v2/app/blobs/sha256:";
    if (request.path.starts_with(manifests)) {
      return {.body = manifests_.at(request.path.substr(manifests.size()))};
    }
    const auto digest =
        Digest::FromHex(request.path.starts_with(blobs) ? request.path.substr(blobs.size()) : "");
    if (!digest.ok()) return {.status = 404};
    return {.body = testing::ReadFileOrDie(layout_.BlobPath(*digest))};
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  std::map<std::string, std::string> manifests_;  // written between requests
  testing::HttpServer registry_;
};

TEST_F(KnownLayersTest, ALayerOnAnotherBaseIsNotDownloaded) {
  EXPECT_THAT(Publish("x", {a_, b_}), ElementsAre(BlobName(a_), BlobName(b_)));
  const auto records = store_->List(kRecordsPrefix).value();
  EXPECT_THAT(Publish("y", {c_, b_}), ElementsAre(BlobName(c_)));
  EXPECT_THAT(store_->List(kRecordsPrefix).value(), SizeIs(records.size() + 1));
  ExpectSound();
}

TEST_F(KnownLayersTest, ALayerWithoutTheBaseThatItWasPublishedOnIsNotDownloaded) {
  Publish("x", {a_, b_});
  EXPECT_THAT(Publish("y", {b_}), IsEmpty());
  EXPECT_THAT(Publish("z", {b_, a_}), IsEmpty());
  ExpectSound();
}

TEST_F(KnownLayersTest, ALayerThatAnImageHasTwiceIsDownloadedOnce) {
  EXPECT_THAT(Publish("x", {a_, b_, a_, a_}), ElementsAre(BlobName(a_), BlobName(b_)));
  ExpectSound();
}

TEST_F(KnownLayersTest, SomebodyElsesPrivateLayerIsDownloaded) {
  Publish("x", {a_, b_}, {.repository = kRepository});
  EXPECT_THAT(Publish("y", {c_, b_}), ElementsAre(BlobName(c_), BlobName(b_)));
  EXPECT_THAT(Publish("z", {c_, a_}, {.repository = kOther}), ElementsAre(BlobName(a_)));
  ExpectSound();
}

TEST_F(KnownLayersTest, OnesOwnPrivateLayerAndAPublicOneAreNotDownloaded) {
  Publish("x", {a_, b_}, {.repository = kRepository});
  EXPECT_THAT(Publish("y", {c_, b_}, {.repository = kRepository}), ElementsAre(BlobName(c_)));
  Publish("z", {c_});
  EXPECT_THAT(Publish("w", {b_, c_}, {.repository = kRepository}), IsEmpty());
  ExpectSound();
}

TEST_F(KnownLayersTest, WhatAStrangersKeySignedIsDownloaded) {
  const SigningKey mine = SigningKey::Generate(), strangers = SigningKey::Generate();
  Publish("x", {a_, b_}, {.store = {.key = strangers}});
  EXPECT_THAT(Publish("y", {c_, b_}, {.store = {.key = mine}}),
              ElementsAre(BlobName(c_), BlobName(b_)));
  const StoreWriter::Options trusting{.key = mine, .trusted_keys = {strangers.public_key()}};
  EXPECT_THAT(Publish("z", {c_, a_}, {.store = trusting}), IsEmpty());
  ExpectSound();
}

// Whoever can write the store can write these names.
TEST_F(KnownLayersTest, ANameThatIsNotTrueMakesNoOtherLayerOfIt) {
  Publish("x", {a_, b_});
  const Digest chain = ChainId(std::vector<Digest>{a_.diff_id, b_.diff_id});
  ASSERT_OK(store_->Put(LayerChainName(c_.diff_id, {chain, ""}), ""));
  ASSERT_OK(store_->Put(LayerChainName(c_.diff_id, {Sha256::Of("no chain"), ""}), ""));
  EXPECT_THAT(Publish("y", {a_, c_}), ElementsAre(BlobName(c_)));
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
  ASSERT_THAT(report.damages, SizeIs(1));
  EXPECT_EQ(report.damages[0].object, LayerChainName(c_.diff_id, {chain, ""}));
}

TEST_F(KnownLayersTest, OfManyNamesThatLeadNowhereOnlyAFewAreLookedAt) {
  Publish("x", {a_});
  for (int i = 0; i < 200; ++i) {
    const Digest chain = Sha256::Of(std::to_string(i));
    ASSERT_OK(store_->Put(LayerChainName(b_.diff_id, {chain, ""}), ""));
  }
  EXPECT_THAT(Publish("y", {a_, b_}), ElementsAre(BlobName(b_)));
  uint64_t looked_at = 0;
  for (int i = 0; i < 200; ++i) {
    const Digest chain = Sha256::Of(std::to_string(i));
    looked_at += store_->ReadsOf(ManifestName(chain, std::nullopt));
  }
  EXPECT_EQ(looked_at, 16U);
}

TEST_F(KnownLayersTest, ADamagedLayerIsDownloadedAndMended) {
  Publish("x", {a_, b_});
  ASSERT_OK_AND_ASSIGN(
      const Manifest manifest,
      StoreReader(store_).ReadManifest(ChainId(std::vector<Digest>{a_.diff_id, b_.diff_id})));
  ASSERT_OK(store_->Replace(RecordName(manifest.layers[1].record), "damaged"));
  EXPECT_THAT(Publish("y", {c_, b_}), ElementsAre(BlobName(c_), BlobName(b_)));
  ExpectSound();
}

TEST_F(KnownLayersTest, AStoreThatWasMadeWithoutTheseNamesGetsThemWithTheNextPublication) {
  Publish("x", {a_, b_});
  const auto names = LayerNames();
  EXPECT_THAT(names, SizeIs(2));
  for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
  ExpectSound();
  EXPECT_THAT(Publish("x", {a_, b_}), IsEmpty());
  EXPECT_EQ(LayerNames(), names);
}

TEST_F(KnownLayersTest, OtherNamesAreNotThose) {
  const std::string hex = a_.diff_id.ToHex();
  EXPECT_OK(ParseLayerChainName("layers/" + hex + "/public/" + hex));
  EXPECT_OK(ParseLayerChainName("layers/" + hex + "/" + hex + "/" + hex));
  for (const std::string& name :
       {"layers/" + hex, "layers/" + hex + "/public", "layers/" + hex + "/public/",
        "layers/" + hex + "/private/" + hex, "layers/" + hex + "/public/" + hex + "/x",
        "layer/" + hex + "/public/" + hex, "layers/x/public/" + hex}) {
    EXPECT_FALSE(ParseLayerChainName(name).ok()) << name;
  }
}

}  // namespace
}  // namespace slacker
