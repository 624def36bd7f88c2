// Who may have an image that the store has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/store.h"
#include "tests/support/fake_backend.h"
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

constexpr auto kPrivate = absl::StatusCode::kUnauthenticated;
constexpr char kRepository[] = "registry.example.com/app";
constexpr char kOther[] = "registry.example.com/other";

class GrantsTest : public ::testing::Test {
 protected:
  absl::Status Publish(const std::string& repository,
                       const std::optional<SigningKey>& key = std::nullopt) {
    return PublishSamples(backend_, samples_, {.key = key}, repository);
  }
  absl::StatusOr<StoreReader::GrantedManifest> Ask(const std::string& repository,
                                                   const Trust& trust = {}) {
    return StoreReader(backend_, trust).ReadGrantedManifest(chain_, repository);
  }
  absl::StatusOr<bool> Knows(const std::string& repository) {
    ASSIGN_OR_RETURN(const auto writer, StoreWriter::Open(backend_, {}));
    ASSIGN_OR_RETURN(const auto known,
                     writer->FindRecord(chain_, repository, samples_.back().layer.diff_id));
    return known.has_value();
  }

  const std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  const std::vector<SampleLayer> samples_ = {MakeSampleLayer(1), MakeSampleLayer(2)};
  const Digest chain_ = SampleChain(samples_);
  const SigningKey key_ = SigningKey::Generate();
  const SigningKey other_ = SigningKey::Generate();
};

TEST_F(GrantsTest, APublicImageIsForAnybody) {
  ASSERT_OK(Publish(""));
  for (const std::string repository : {"", kRepository}) {
    ASSERT_OK_AND_ASSIGN(const auto granted, Ask(repository));
    EXPECT_TRUE(granted.to_anybody);
    EXPECT_EQ(granted.manifest.chain_id, chain_);
  }
}

TEST_F(GrantsTest, APrivateImageIsForTheReadersOfItsRepositoryAlone) {
  ASSERT_OK(Publish(kRepository));
  ASSERT_OK_AND_ASSIGN(const auto granted, Ask(kRepository));
  EXPECT_FALSE(granted.to_anybody);
  EXPECT_THAT(Ask(""), StatusIs(kPrivate, "not for everybody"));
  EXPECT_THAT(Ask(kOther), StatusIs(kPrivate));
}

TEST_F(GrantsTest, PrefixesOfAPrivateImageArePrivateToo) {
  ASSERT_OK(Publish(kRepository));
  const StoreReader reader(backend_);
  const Digest base = SampleChain({samples_[0]});
  EXPECT_THAT(reader.ReadGrantedManifest(base, ""), StatusIs(kPrivate));
  EXPECT_OK(reader.ReadGrantedManifest(base, kRepository));
}

TEST_F(GrantsTest, GrantsAddUp) {
  ASSERT_OK(Publish(kRepository));
  ASSERT_OK(Publish(kOther));
  EXPECT_OK(Ask(kRepository));
  EXPECT_OK(Ask(kOther));
  EXPECT_THAT(Ask(""), StatusIs(kPrivate));
  ASSERT_OK(Publish(""));
  EXPECT_OK(Ask(""));
}

TEST_F(GrantsTest, AGrantCountsWhenATrustedKeySignedIt) {
  const Trust trust{.keys = {key_.public_key()}};
  ASSERT_OK(Publish(kRepository, key_));
  EXPECT_OK(Ask(kRepository, trust));
  EXPECT_THAT(Ask("", trust), StatusIs(kPrivate));
  // Whoever can write to the store can write these, but not sign them.
  const Grant wanted{chain_, ""};
  ASSERT_OK(backend_->Put(GrantName(wanted, std::nullopt), EncodeGrant(wanted, nullptr)));
  EXPECT_THAT(Ask("", trust), StatusIs(kPrivate, "not signed by a trusted key"));
  ASSERT_OK(
      backend_->Put(GrantName(wanted, other_.public_key().id()), EncodeGrant(wanted, &other_)));
  EXPECT_THAT(Ask("", trust), StatusIs(kPrivate));
  ASSERT_OK(backend_->Put(GrantName(wanted, key_.public_key().id()), EncodeGrant(wanted, &other_)));
  EXPECT_THAT(Ask("", trust), StatusIs(kPrivate));
}

TEST_F(GrantsTest, AGrantUnderAnotherNameIsDamageAndGrantsNothing) {
  ASSERT_OK(Publish(kRepository));
  const std::string bytes = EncodeGrant({chain_, kRepository}, nullptr);
  ASSERT_OK(backend_->Put(GrantName({chain_, ""}, std::nullopt), bytes));
  EXPECT_THAT(Ask(""), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_OK(Ask(kRepository)) << "a damaged grant must not take away a sound one";
}

TEST_F(GrantsTest, WithoutAnyGrantNobodyMayHaveIt) {
  ASSERT_OK(Publish(""));
  ASSERT_OK(backend_->Remove(GrantName({chain_, ""}, std::nullopt)));
  EXPECT_THAT(Ask(""), StatusIs(kPrivate));
  EXPECT_THAT(Ask(kRepository), StatusIs(kPrivate));
}

TEST_F(GrantsTest, EveryChangedByteOfAGrantIsDamage) {
  const Grant grant{chain_, kRepository};
  const std::string bytes = EncodeGrant(grant, &key_);
  const PublicKey key = key_.public_key();
  ASSERT_OK(DecodeGrant(bytes, grant, &key));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(DecodeGrant(damaged, grant, &key).ok()) << i;
    EXPECT_FALSE(DecodeGrant(bytes.substr(0, i), grant, &key).ok()) << i;
  }
}

TEST_F(GrantsTest, APublisherTakesAsKnownWhatItMayHaveOnly) {
  ASSERT_OK(Publish(kRepository));
  EXPECT_TRUE(Knows(kRepository).value());
  EXPECT_FALSE(Knows("").value());
  EXPECT_FALSE(Knows(kOther).value());
}

}  // namespace
}  // namespace slacker
