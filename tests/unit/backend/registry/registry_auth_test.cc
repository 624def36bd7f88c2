#include "backend/registry/registry_auth.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

TEST(AuthChallengeTest, ABearerChallengeGivesTheTokensUrl) {
  ASSERT_OK_AND_ASSIGN(
      const AuthChallenge challenge,
      ParseChallenge(
          R"(Bearer realm="https://auth.x/token",service="a b" , Scope="repository:x/y:pull")"));
  EXPECT_EQ(TokenUrl(challenge),
            "https://auth.x/token?service=a%20b&scope=repository%3Ax%2Fy%3Apull");
  EXPECT_EQ(TokenUrl({AuthChallenge::Scheme::kBearer, "https://x/t?a=b", "s", ""}),
            "https://x/t?a=b&service=s");
}

TEST(AuthChallengeTest, MalformedAndUnknownOnesAreRefused) {
  for (const char* header :
       {"", "Negotiate", "Bearer", "Bearer realm", "Bearer realm=\"x", "Bearer realm=\"x\\",
        "Bearer =x", "Bearer realm=\"a b\"", "Bearer service=\"x\""}) {
    EXPECT_THAT(ParseChallenge(header), StatusIs(absl::StatusCode::kInvalidArgument)) << header;
  }
  EXPECT_EQ(ParseChallenge("Basic realm=\"x\"")->scheme, AuthChallenge::Scheme::kBasic);
}

TEST(TokenTest, EitherNameIsTakenAndNothingThatBreaksAHeader) {
  EXPECT_EQ(*ParseToken(R"({"token":"abc"})"), "abc");
  EXPECT_EQ(*ParseToken(R"({"access_token":"abc"})"), "abc");
  for (const char* answer :
       {"", "[]", "{}", R"({"token":1})", R"({"token":"a\r\nHost: x"})", R"({"token":""})"}) {
    EXPECT_THAT(ParseToken(answer), StatusIs(absl::StatusCode::kInvalidArgument)) << answer;
  }
}

TEST(AuthChallengeTest, OfSeveralTheFirstThatCanBeAnsweredCounts) {
  EXPECT_EQ(ParseChallenge("Negotiate\nBasic realm=\"x\"")->scheme, AuthChallenge::Scheme::kBasic);
  EXPECT_EQ(ParseChallenge("Bearer realm=\"https://x/t\"\nBasic realm=\"x\"")->realm,
            "https://x/t");
  EXPECT_THAT(ParseChallenge("Negotiate\nDigest"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RefreshFormTest, NothingInATokenEndsItsField) {
  EXPECT_EQ(RefreshForm({AuthChallenge::Scheme::kBearer, "https://x/t", "s", "a:b"}, "t&x=1"),
            "grant_type=refresh_token&client_id=slacker&refresh_token=t%26x%3D1&service=s&"
            "scope=a%3Ab");
}

}  // namespace
}  // namespace slacker
