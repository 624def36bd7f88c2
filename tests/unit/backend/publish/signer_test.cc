#include "backend/publish/signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/store/names.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;

class SignerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    image_ = layout_.AddImage(testing::SampleLayers());
    ASSERT_OK(testing::PublishLayout(layout_, store_));
  }
  absl::Status ReadWith(const SigningKey& key) {
    return StoreReader(store_, {.keys = {key.public_key()}}).ReadManifest(image_.chain_id).status();
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
  testing::WrittenImage image_;
  const SigningKey key_ = SigningKey::Generate();
  const SigningKey next_ = SigningKey::Generate();
};

TEST_F(SignerTest, EveryPrefixOfAChainIsSigned) {
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, image_.chain_id, key_, Trust()));
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_OK(ReadWith(key_));
  ASSERT_OK_AND_ASSIGN(const VerifyReport verified,
                       VerifyStore(store_, {.keys = {key_.public_key()}}));
  EXPECT_THAT(verified.damages, IsEmpty());
  EXPECT_EQ(verified.signatures, 3u);
  EXPECT_EQ(verified.unknown_signatures, 0u);
}

TEST_F(SignerTest, SigningAgainChangesNothing) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, Trust()));
  ASSERT_OK_AND_ASSIGN(const SignReport report, SignManifests(store_, std::nullopt, key_, Trust()));
  EXPECT_EQ(report.manifests, 0u);
  EXPECT_EQ(report.signed_already, 3u);
}

TEST_F(SignerTest, TheNextKeySignsWhatThePresentOneSigned) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, Trust()));
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, next_, {.keys = {key_.public_key()}}));
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_OK(ReadWith(next_));
  EXPECT_OK(ReadWith(key_));
}

TEST_F(SignerTest, WhatTheTrustedKeyDidNotSignIsNotSigned) {
  EXPECT_THAT(SignManifests(store_, std::nullopt, next_, {.keys = {key_.public_key()}}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ReadWith(next_), Not(IsOk()));
}

TEST_F(SignerTest, ADamagedStoreIsNotSigned) {
  ASSERT_OK_AND_ASSIGN(const auto packs, store_->List(kPacksPrefix));
  for (const std::string& name : packs) {
    if (ParsePackIndexName(name).ok()) continue;
    std::string content = *store_->ReadWhole(name, 64 << 20);
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    ASSERT_OK(store_->Replace(name, content));
  }
  ASSERT_OK_AND_ASSIGN(const SignReport report, SignManifests(store_, std::nullopt, key_, Trust()));
  EXPECT_THAT(report.damages, Not(IsEmpty()));
  EXPECT_EQ(report.manifests, 0u);
  EXPECT_THAT(ReadWith(key_), Not(IsOk()));
}

TEST_F(SignerTest, AChainThatIsNotPublishedIsNotFound) {
  EXPECT_THAT(SignManifests(store_, Digest(), key_, Trust()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SignerTest, AForgedSignatureIsReportedByVerification) {
  ASSERT_OK(SignManifests(store_, std::nullopt, next_, Trust()));
  const std::string foreign =
      *store_->ReadWhole(ManifestName(image_.chain_id, next_.public_key().id()), 1 << 20);
  ASSERT_OK(store_->Replace(ManifestName(image_.chain_id, key_.public_key().id()), foreign));
  ASSERT_OK_AND_ASSIGN(const VerifyReport report,
                       VerifyStore(store_, {.keys = {key_.public_key()}}));
  ASSERT_EQ(report.damages.size(), 1u);
  EXPECT_EQ(report.damages[0].object, ManifestName(image_.chain_id, key_.public_key().id()));
  EXPECT_EQ(report.unknown_signatures, 3u);
}

}  // namespace
}  // namespace slacker
