// Whose manifests count.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/store.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/store/store_test_util.h"

namespace slacker {
namespace {

using testing::FakeBackend;
using testing::MakeSampleLayer;
using testing::PublishSamples;
using testing::SampleChain;
using testing::SampleLayer;
using testing::StatusIs;

constexpr auto kUntrusted = absl::StatusCode::kFailedPrecondition;

class TrustTest : public ::testing::Test {
 protected:
  TrustTest() { backend_->SetNetwork(); }
  static std::vector<PublicKey> Public(const std::vector<SigningKey>& keys) {
    std::vector<PublicKey> halves;
    for (const SigningKey& key : keys) halves.push_back(key.public_key());
    return halves;
  }
  absl::Status Publish(const std::optional<SigningKey>& key,
                       const std::vector<PublicKey>& trusted = {}) {
    return PublishSamples(backend_, samples_, {.key = key, .trusted_keys = trusted});
  }
  absl::Status Read(const Trust& trust) {
    return StoreReader(backend_, trust).ReadManifest(chain_).status();
  }
  std::string NameOf(const SigningKey& key) const {
    return ManifestName(chain_, key.public_key().id());
  }

  const std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  const std::vector<SampleLayer> samples_ = {MakeSampleLayer(1), MakeSampleLayer(2)};
  const Digest chain_ = SampleChain(samples_);
  const SigningKey key_ = SigningKey::Generate();
  const SigningKey other_ = SigningKey::Generate();
};

TEST_F(TrustTest, ASignatureOfATrustedKeyCounts) {
  ASSERT_OK(Publish(key_));
  EXPECT_OK(Read({.keys = Public({key_})}));
  EXPECT_OK(Read({.keys = Public({other_, key_})}));
  EXPECT_OK(StoreReader(backend_, {.keys = Public({key_})})
                .ReadManifest(SampleChain({samples_[0]}))
                .status());
}

TEST_F(TrustTest, AnUnsignedManifestDoesNotCountForANodeWithKeys) {
  ASSERT_OK(Publish(std::nullopt));
  EXPECT_THAT(Read({.keys = Public({key_})}), StatusIs(kUntrusted, "not signed by a trusted key"));
}

TEST_F(TrustTest, ASignatureOfAnUnknownKeyDoesNotCount) {
  ASSERT_OK(Publish(other_));
  EXPECT_THAT(Read({.keys = Public({key_})}), StatusIs(kUntrusted, "not signed by a trusted key"));
}

TEST_F(TrustTest, AManifestUnderTheNameOfAKeyThatDidNotSignItDoesNotCount) {
  ASSERT_OK(Publish(other_));
  const std::string foreign = backend_->ReadWhole(NameOf(other_), 1 << 20).value();
  ASSERT_OK(backend_->Replace(NameOf(key_), foreign));
  EXPECT_THAT(Read({.keys = Public({key_})}), StatusIs(kUntrusted, "its signature"));
  // Nor does one that claims the key's ID.
  StoreReader reader(backend_);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, reader.ReadManifest(chain_));
  ASSERT_OK(backend_->Replace(NameOf(key_), EncodeManifest(manifest, nullptr)));
  EXPECT_THAT(Read({.keys = Public({key_})}), StatusIs(kUntrusted, "its signature"));
  // But the signature of another trusted key does.
  EXPECT_OK(Read({.keys = Public({key_, other_})}));
}

TEST_F(TrustTest, EveryFlippedBitOfASignedManifestIsRefused) {
  ASSERT_OK(Publish(key_));
  const std::string sound = backend_->ReadWhole(NameOf(key_), 1 << 20).value();
  const PublicKey& key = key_.public_key();
  ASSERT_OK(DecodeManifest(sound, chain_, &key).status());
  for (size_t bit = 0; bit < 8 * sound.size(); ++bit) {
    std::string damaged = sound;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeManifest(damaged, chain_, &key).ok()) << bit;
  }
}

TEST_F(TrustTest, WhatIsNotPublishedIsNotFoundWhateverTheKeys) {
  EXPECT_THAT(Read({}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Read({.keys = Public({key_, other_})}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(TrustTest, WithoutKeysANetworkStoreIsRefusedUnlessInsecure) {
  ASSERT_OK(Publish(key_));
  EXPECT_THAT(Read({.insecure = false}), StatusIs(kUntrusted, "on a network"));
  EXPECT_OK(Read({.insecure = true}));
  const auto local = std::make_shared<FakeBackend>();
  ASSERT_OK(PublishSamples(local, samples_));
  EXPECT_OK(StoreReader(local, {.insecure = false}).ReadManifest(chain_).status());
}

TEST_F(TrustTest, AStoreThatDoesNotAnswerIsNotTakenForUntrusted) {
  ASSERT_OK(Publish(key_));
  const auto faulty = std::make_shared<testing::FaultyBackend>(backend_);
  faulty->FailCall(1, Unavailable("away"));
  EXPECT_THAT(StoreReader(faulty, {.keys = Public({key_})}).ReadManifest(chain_).status(),
              StatusIs(absl::StatusCode::kUnavailable));
}

// Else whoever can write the store could have a publisher sign a record of his own making.
TEST_F(TrustTest, APublisherWithAKeyDoesNotBelieveUnsignedManifests) {
  ASSERT_OK(Publish(std::nullopt));
  const Digest& diff_id = samples_[1].layer.diff_id;
  ASSERT_OK_AND_ASSIGN(auto unsigned_writer, StoreWriter::Open(backend_, {}));
  EXPECT_TRUE(unsigned_writer->FindRecord(chain_, "", diff_id).value().has_value());
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {.key = key_}));
  EXPECT_FALSE(writer->FindRecord(chain_, "", diff_id).value().has_value());
}

TEST_F(TrustTest, APublisherBelievesItselfAndThoseItTrusts) {
  ASSERT_OK(Publish(other_));
  const Digest& diff_id = samples_[1].layer.diff_id;
  ASSERT_OK_AND_ASSIGN(auto stranger, StoreWriter::Open(backend_, {.key = key_}));
  EXPECT_FALSE(stranger->FindRecord(chain_, "", diff_id).value().has_value());
  ASSERT_OK_AND_ASSIGN(
      auto friendly, StoreWriter::Open(backend_, {.key = key_, .trusted_keys = Public({other_})}));
  EXPECT_TRUE(friendly->FindRecord(chain_, "", diff_id).value().has_value());
  ASSERT_OK(Publish(key_));
  ASSERT_OK_AND_ASSIGN(auto itself, StoreWriter::Open(backend_, {.key = key_}));
  EXPECT_TRUE(itself->FindRecord(chain_, "", diff_id).value().has_value());
}

TEST_F(TrustTest, ASecondSignedPublicationWritesNothingButItsIntent) {
  ASSERT_OK(Publish(key_));
  const auto before = backend_->List("").value();
  backend_->ResetCounts();
  ASSERT_OK(Publish(key_));
  EXPECT_LE(backend_->counts().writes, 3u);
  EXPECT_EQ(backend_->List("").value(), before);
}

TEST(ManifestNameTest, OnlyNamesOfManifestsAreParsed) {
  const Digest chain = Sha256::Of("chain");
  const Digest key = Sha256::Of("key");
  ASSERT_OK_AND_ASSIGN(const auto by_key, ParseManifestName(ManifestName(chain, key)));
  EXPECT_EQ(by_key.chain_id, chain);
  EXPECT_EQ(by_key.key_id, key);
  ASSERT_OK_AND_ASSIGN(const auto by_none, ParseManifestName(ManifestName(chain, std::nullopt)));
  EXPECT_EQ(by_none.key_id, std::nullopt);
  for (const std::string& name :
       {std::string("manifests/x"), "manifests/" + chain.ToHex(),
        "manifests/" + chain.ToHex() + "/", "manifests/" + chain.ToHex() + "/x",
        "records/" + chain.ToHex() + "/unsigned", "manifests/" + chain.ToHex() + "0/unsigned"}) {
    EXPECT_FALSE(ParseManifestName(name).ok()) << name;
  }
}

}  // namespace
}  // namespace slacker
