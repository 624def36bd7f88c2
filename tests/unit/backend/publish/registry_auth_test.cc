#include "backend/publish/registry_auth.h"

#include <gtest/gtest.h>

#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

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

TEST(BasicCredentialsTest, AreFoundByHost) {
  const testing::TempDir dir;
  const std::string path = dir / "config.json";
  testing::WriteFileOrDie(path, R"({"auths":{"https://index.docker.io/v1/":{"auth":"aHVi"},
      "r.x:5000":{"auth":"cng="},"empty":{}}})");
  EXPECT_EQ(**FindBasicCredentials(path, "docker.io"), "aHVi");
  EXPECT_EQ(**FindBasicCredentials(path, "r.x:5000"), "cng=");
  EXPECT_EQ(*FindBasicCredentials(path, "r.x"), std::nullopt);
  EXPECT_EQ(*FindBasicCredentials(path, "empty"), std::nullopt);
  EXPECT_EQ(*FindBasicCredentials(dir / "missing", "r.x"), std::nullopt);
  EXPECT_EQ(*FindBasicCredentials("", "r.x"), std::nullopt);
  testing::WriteFileOrDie(path, R"({"auths":{"r.x":{"auth":"a\r\nb"}}})");
  EXPECT_THAT(FindBasicCredentials(path, "r.x"), StatusIs(absl::StatusCode::kInvalidArgument));
  testing::WriteFileOrDie(path, "not json");
  EXPECT_THAT(FindBasicCredentials(path, "r.x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace slacker
