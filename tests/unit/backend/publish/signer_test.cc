#include "backend/publish/signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/publish/boot_verifier.h"
#include "backend/publish/trace_publisher.h"
#include "backend/store/manifest_codec.h"
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

  absl::Status Ask(const std::string& repository, const SigningKey& key) {
    return StoreReader(store_, {.keys = {key.public_key()}})
        .ReadGrantedManifest(image_.chain_id, repository)
        .status();
  }

  // The boot pack of a start that reads two pages of the first layer.
  void Trace(const SigningKey* key) {
    ASSERT_OK_AND_ASSIGN(const Manifest manifest,
                         StoreReader(store_).ReadManifest(image_.chain_id));
    StartTrace start{image_.chain_id, {}, 1, {{0, 3, 2, 1}}};
    for (const ManifestLayer& layer : manifest.layers) start.records.push_back(layer.record);
    ASSERT_OK(PublishTraces(store_, manifest, {start}, key));
  }
  std::string BootPack() { return *store_->ReadWhole(BootPackName(image_.chain_id), 64 << 20); }
  absl::Status CheckPack(const SigningKey& key) {
    const std::vector<PublicKey> keys = {key.public_key()};
    return CheckBootSignature(BootPack(), keys);
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
                       SignManifests(store_, image_.chain_id, key_, Trust(), {}));
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_OK(ReadWith(key_));
  ASSERT_OK_AND_ASSIGN(const VerifyReport verified,
                       VerifyStore(store_, {.keys = {key_.public_key()}}));
  EXPECT_THAT(verified.damages, IsEmpty());
  EXPECT_EQ(verified.signatures, 3u);
  EXPECT_EQ(verified.unknown_signatures, 0u);
}

TEST_F(SignerTest, SigningAgainChangesNothing) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  EXPECT_EQ(report.manifests, 0u);
  EXPECT_EQ(report.signed_already, 3u);
}

TEST_F(SignerTest, AnUnsignedGrantIsSignedOnlyForWhomTheCallerNames) {
  const Grant to_team{image_.chain_id, "registry.example.com/team"};
  ASSERT_OK(store_->Put(GrantName(to_team, std::nullopt), EncodeGrant(to_team, nullptr)));
  ASSERT_OK_AND_ASSIGN(SignReport report,
                       SignManifests(store_, image_.chain_id, key_, Trust(), {}));
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_THAT(report.grants, IsEmpty());
  EXPECT_EQ(report.left.size(), 4u) << "each prefix is granted to everybody, and one to a team";
  EXPECT_THAT(Ask("", key_), StatusIs(absl::StatusCode::kUnauthenticated));
  ASSERT_OK_AND_ASSIGN(report,
                       SignManifests(store_, image_.chain_id, key_, Trust(), {to_team.repository}));
  ASSERT_EQ(report.grants.size(), 1u);
  EXPECT_EQ(report.grants[0].repository, to_team.repository);
  EXPECT_OK(Ask(to_team.repository, key_));
  EXPECT_THAT(Ask("", key_), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(SignerTest, GrantsToEverybodyAreSignedOnRequest) {
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  EXPECT_EQ(report.grants.size(), 3u);
  EXPECT_THAT(report.left, IsEmpty());
  EXPECT_OK(Ask("", key_));
}

// Who can write the store has put one beside that of a private image.
TEST_F(SignerTest, AnUnsignedGrantBesideASignedOneIsNeverSigned) {
  const Grant to_team{image_.chain_id, "registry.example.com/team"};
  for (const SigningKey* key : {&key_, &next_}) {
    ASSERT_OK(
        store_->Replace(GrantName(to_team, key->public_key().id()), EncodeGrant(to_team, key)));
    ASSERT_OK(SignManifests(store_, std::nullopt, key_, Trust(), {"", to_team.repository}));
    EXPECT_THAT(Ask("", key_), StatusIs(absl::StatusCode::kUnauthenticated));
    ASSERT_OK(store_->Remove(GrantName(to_team, key->public_key().id())));
  }
}

TEST_F(SignerTest, TheNextKeySignsWhatThePresentOneSigned) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  ASSERT_OK_AND_ASSIGN(const SignReport report, SignManifests(store_, std::nullopt, next_,
                                                              {.keys = {key_.public_key()}}, {}));
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_OK(ReadWith(next_));
  EXPECT_OK(ReadWith(key_));
}

TEST_F(SignerTest, WhatTheTrustedKeyDidNotSignIsNotSigned) {
  const Trust trust = {.keys = {key_.public_key()}};
  EXPECT_THAT(SignManifests(store_, image_.chain_id, next_, trust, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, next_, trust, {}));
  EXPECT_EQ(report.manifests, 0u);
  EXPECT_EQ(report.left.size(), 3u);
  EXPECT_THAT(ReadWith(next_), Not(IsOk()));
}

TEST_F(SignerTest, ABadManifestIsLeftAndNamedAndTheOthersAreSigned) {
  const std::string bad = std::string(kManifestsPrefix) + Sha256::Of("chain").ToHex();
  ASSERT_OK(store_->Put(bad + "/unsigned", "junk"));
  ASSERT_OK_AND_ASSIGN(SignReport report, SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  EXPECT_EQ(report.manifests, 3u);
  ASSERT_EQ(report.left.size(), 1u);
  EXPECT_EQ(report.left[0].object, bad);
  EXPECT_OK(ReadWith(key_));
  ASSERT_OK_AND_ASSIGN(
      report, SignManifests(store_, std::nullopt, next_, {.keys = {key_.public_key()}}, {}));
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_EQ(report.grants.size(), 3u);
  EXPECT_EQ(report.left.size(), 1u);
}

TEST_F(SignerTest, TheNextKeySignsTheBootPackTooWithoutReadingTheImage) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  Trace(&key_);
  ASSERT_OK_AND_ASSIGN(const auto packs, store_->List(kPacksPrefix));
  for (const std::string& name : packs) ASSERT_OK(store_->Remove(name));
  const Trust trust = {.keys = {key_.public_key()}};
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, next_, trust, {}));
  EXPECT_EQ(report.boot_packs, 1u);
  EXPECT_THAT(report.left, IsEmpty());
  EXPECT_OK(CheckPack(next_));
  ASSERT_OK_AND_ASSIGN(const SignReport again,
                       SignManifests(store_, std::nullopt, next_, trust, {}));
  EXPECT_EQ(again.boot_packs, 0u);
}

TEST_F(SignerTest, TheFirstKeySignsAnUnsignedBootPackWhosePagesAreTheImages) {
  Trace(nullptr);
  EXPECT_THAT(CheckPack(key_), Not(IsOk()));
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  EXPECT_EQ(report.boot_packs, 1u);
  EXPECT_OK(CheckPack(key_));
  EXPECT_OK(VerifyBootPack(StoreReader(store_), image_.chain_id));
}

TEST_F(SignerTest, ABootPackOfAStrangerThatLiesIsLeftAndNamed) {
  const SigningKey stranger = SigningKey::Generate();
  Trace(&key_);
  ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(BootPack(), image_.chain_id));
  NewBootPack lie;
  lie.chain_id = image_.chain_id;
  lie.made_of = Sha256::Of("a lie");
  for (const BootTable::Record& record : table.records) lie.records.push_back({record.record, ""});
  lie.windows.push_back({std::string(kBootPageBytes, 'x'), false, true, {{0, 3, 1}}});
  ASSERT_OK_AND_ASSIGN(const std::string pack, EncodeBootPack(lie, &stranger));
  ASSERT_OK(store_->Replace(BootPackName(image_.chain_id), pack));
  ASSERT_OK(SignManifests(store_, std::nullopt, next_, Trust(), {}));
  for (const Trust& trust : {Trust(), Trust{.keys = {next_.public_key()}}}) {
    ASSERT_OK_AND_ASSIGN(const SignReport report,
                         SignManifests(store_, std::nullopt, key_, trust, {""}));
    EXPECT_EQ(report.boot_packs, 0u);
    ASSERT_EQ(report.left.size(), 1u);
    EXPECT_EQ(report.left[0].object, BootPackName(image_.chain_id));
    EXPECT_TRUE(BootPack() == pack);
    EXPECT_OK(ReadWith(key_)) << "the image itself is";
  }
}

TEST_F(SignerTest, ADamagedStoreIsNotSigned) {
  ASSERT_OK_AND_ASSIGN(const auto packs, store_->List(kPacksPrefix));
  for (const std::string& name : packs) {
    if (ParsePackIndexName(name).ok()) continue;
    std::string content = *store_->ReadWhole(name, 64 << 20);
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    ASSERT_OK(store_->Replace(name, content));
  }
  ASSERT_OK_AND_ASSIGN(const SignReport report,
                       SignManifests(store_, std::nullopt, key_, Trust(), {""}));
  EXPECT_THAT(report.damages, Not(IsEmpty()));
  EXPECT_EQ(report.manifests, 0u);
  EXPECT_THAT(ReadWith(key_), Not(IsOk()));
}

TEST_F(SignerTest, AChainThatIsNotPublishedIsNotFound) {
  EXPECT_THAT(SignManifests(store_, Digest(), key_, Trust(), {}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SignerTest, AForgedSignatureIsReportedByVerification) {
  ASSERT_OK(SignManifests(store_, std::nullopt, next_, Trust(), {""}));
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
