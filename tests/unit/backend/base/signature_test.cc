#include "backend/base/signature.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

// The key pair of RFC 8032, 7.1, test 2, in the form of RFC 8410.
constexpr char kSeedPem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
    "-----END PRIVATE KEY-----\n";
constexpr char kPublicPem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"
    "-----END PUBLIC KEY-----\n";

TEST(SignatureTest, AKeyOfTheRfcHasItsPublicHalf) {
  ASSERT_OK_AND_ASSIGN(const SigningKey key, SigningKey::FromPem(kSeedPem));
  EXPECT_EQ(key.public_key().ToPem(), kPublicPem);
  EXPECT_EQ(key.ToPem(), kSeedPem);
  ASSERT_OK_AND_ASSIGN(const PublicKey same, PublicKey::FromPem(kPublicPem));
  EXPECT_EQ(same, key.public_key());
  EXPECT_EQ(same.id(), key.public_key().id());
}

TEST(SignatureTest, ASignatureCountsForItsKeyPurposeAndMessageOnly) {
  const SigningKey key = SigningKey::Generate();
  const std::string signature = key.Sign("purpose", "message");
  EXPECT_TRUE(key.public_key().Verifies(signature, "purpose", "message"));
  EXPECT_FALSE(key.public_key().Verifies(signature, "purpose", "message2"));
  EXPECT_FALSE(key.public_key().Verifies(signature, "purpos", "message"));
  EXPECT_FALSE(SigningKey::Generate().public_key().Verifies(signature, "purpose", "message"));
  EXPECT_EQ(key.Sign("purpose", "message"), signature);
}

TEST(SignatureTest, TheSplitBetweenPurposeAndMessageIsSigned) {
  const SigningKey key = SigningKey::Generate();
  const std::string signature = key.Sign("ab", "c");
  EXPECT_FALSE(key.public_key().Verifies(signature, "a", "bc"));
}

TEST(SignatureTest, EveryFlippedBitIsNoticed) {
  const SigningKey key = SigningKey::Generate();
  const std::string signature = key.Sign("p", "m");
  for (size_t bit = 0; bit < 8 * signature.size(); ++bit) {
    std::string damaged = signature;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(key.public_key().Verifies(damaged, "p", "m")) << bit;
  }
  EXPECT_FALSE(key.public_key().Verifies("", "p", "m"));
  EXPECT_FALSE(key.public_key().Verifies(signature + '\0', "p", "m"));
}

TEST(SignatureTest, WhatIsNotAnEd25519KeyIsRefused) {
  for (const std::string& pem : {std::string(), std::string("rubbish"), std::string(kSeedPem, 40),
                                 std::string(100'000, 'x')}) {
    EXPECT_THAT(PublicKey::FromPem(pem), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(SigningKey::FromPem(pem), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(PublicKey::FromPem(kSeedPem), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SigningKey::FromPem(kPublicPem), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace slacker
