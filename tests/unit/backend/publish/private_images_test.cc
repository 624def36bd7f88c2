// Images that not everybody may have: what publishing gives away, and to whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "backend/publish/signer.h"
#include "backend/publish/verifier.h"
#include "backend/store/names.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::GzipLayer;
using testing::ImageLayer;
using ::testing::IsEmpty;
using testing::kTestPlatform;
using testing::PublishLayout;
using testing::StatusIs;
using testing::TarBuilder;

constexpr auto kPrivate = absl::StatusCode::kUnauthenticated;
constexpr char kPrivateRepository[] = "registry.example.com/secret";

class PrivateImagesTest : public ::testing::Test {
 protected:
  absl::Status Ask(const Digest& chain, const std::string& repository, const Trust& trust = {}) {
    return StoreReader(store_, trust).ReadGrantedManifest(chain, repository).status();
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
};

TEST_F(PrivateImagesTest, EveryPrefixIsForTheRepositoryAlone) {
  const auto image = layout_.AddImage(testing::SampleLayers());
  ASSERT_OK(PublishLayout(layout_, store_, "", kTestPlatform, kPrivateRepository));
  for (size_t i = 1; i <= image.diff_ids.size(); ++i) {
    const Digest chain = ChainId(std::span(image.diff_ids).first(i));
    EXPECT_OK(Ask(chain, kPrivateRepository));
    EXPECT_THAT(Ask(chain, ""), StatusIs(kPrivate));
  }
}

// The attack: an image of the attacker's whose configuration lists somebody's diff IDs.
TEST_F(PrivateImagesTest, NamingSomebodysDiffIdsDoesNotGiveHisFiles) {
  const auto secret = layout_.AddImage(testing::SampleLayers(), "secret");
  ASSERT_OK(PublishLayout(layout_, store_, "secret", kTestPlatform, kPrivateRepository));

  testing::OciLayout attackers(dir_ / "attackers");
  std::vector<ImageLayer> forged;
  for (const Digest& diff_id : secret.diff_ids) {
    forged.push_back(GzipLayer(TarBuilder().File("mine", "of no use").End()));
    forged.back().diff_id = diff_id;
  }
  attackers.AddImage(forged);
  for (const std::string repository : {"", "registry.example.com/attacker"}) {
    EXPECT_THAT(PublishLayout(attackers, store_, "", kTestPlatform, repository),
                StatusIs(absl::StatusCode::kDataLoss, "configuration says"));
    for (size_t i = 1; i <= secret.diff_ids.size(); ++i) {
      const Digest chain = ChainId(std::span(secret.diff_ids).first(i));
      EXPECT_THAT(Ask(chain, repository), StatusIs(kPrivate));
      EXPECT_OK(Ask(chain, kPrivateRepository));
    }
  }
  // The same with a layer of his own on top, which names the secret chain as its parent.
  forged.push_back(GzipLayer(TarBuilder().File("mine", "x").End()));
  attackers.AddImage(forged, "top");
  EXPECT_THAT(PublishLayout(attackers, store_, "top"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Ask(secret.chain_id, ""), StatusIs(kPrivate));
}

TEST_F(PrivateImagesTest, WhoHasTheLayersHimselfMayPublishThem) {
  const auto image = layout_.AddImage(testing::SampleLayers());
  ASSERT_OK(PublishLayout(layout_, store_, "", kTestPlatform, kPrivateRepository));
  ASSERT_OK_AND_ASSIGN(const auto packs, store_->List("packs/"));
  ASSERT_OK_AND_ASSIGN(const PublishedImage again, PublishLayout(layout_, store_));
  EXPECT_EQ(again.totals.layers_reused, 0U);
  EXPECT_EQ(store_->List("packs/").value(), packs) << "what was proved is shared all the same";
  EXPECT_OK(Ask(image.chain_id, ""));
  EXPECT_THAT(VerifyStore(store_)->damages, IsEmpty());
}

TEST_F(PrivateImagesTest, ThePrivateImagesOwnerDownloadsNothingAgain) {
  layout_.AddImage(testing::SampleLayers());
  ASSERT_OK(PublishLayout(layout_, store_, "", kTestPlatform, kPrivateRepository));
  ASSERT_OK_AND_ASSIGN(const PublishedImage again,
                       PublishLayout(layout_, store_, "", kTestPlatform, kPrivateRepository));
  EXPECT_EQ(again.totals.layers_reused, 3U);
  EXPECT_EQ(again.totals.downloaded_bytes, 0U);
}

TEST_F(PrivateImagesTest, SigningKeepsWhoMayHaveAnImage) {
  const auto image = layout_.AddImage(testing::SampleLayers());
  ASSERT_OK(PublishLayout(layout_, store_, "", kTestPlatform, kPrivateRepository));
  const SigningKey key = SigningKey::Generate();
  ASSERT_OK(SignManifests(store_, image.chain_id, key, Trust(), {kPrivateRepository}));
  const Trust trust{.keys = {key.public_key()}};
  EXPECT_OK(Ask(image.chain_id, kPrivateRepository, trust));
  EXPECT_THAT(Ask(image.chain_id, "", trust), StatusIs(kPrivate));
}

TEST_F(PrivateImagesTest, VerifyFindsAGrantThatGrantsSomethingElse) {
  const auto image = layout_.AddImage(testing::SampleLayers());
  ASSERT_OK(PublishLayout(layout_, store_, "", kTestPlatform, kPrivateRepository));
  const Grant granted{image.chain_id, kPrivateRepository};
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       store_->ReadWhole(GrantName(granted, std::nullopt), 4096));
  ASSERT_OK(store_->Put(GrantName({image.chain_id, ""}, std::nullopt), bytes));
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
  ASSERT_EQ(report.damages.size(), 1U);
  EXPECT_EQ(report.damages[0].object, GrantName({image.chain_id, ""}, std::nullopt));
}

}  // namespace
}  // namespace slacker
