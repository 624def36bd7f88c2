#include "backend/source/platform.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

bool Matches(const char* wanted, const char* offered) {
  return PlatformMatches(*ParsePlatform(wanted), *ParsePlatform(offered));
}

TEST(PlatformTest, WhatIsParsedIsFormattedTheSame) {
  for (const char* text : {"linux/amd64", "linux/arm64/v8", "windows/amd64"}) {
    ASSERT_OK_AND_ASSIGN(const Platform platform, ParsePlatform(text));
    EXPECT_EQ(FormatPlatform(platform), text);
  }
  EXPECT_OK(ParsePlatform(FormatPlatform(HostPlatform())));
}

TEST(PlatformTest, MalformedOnesAreRefused) {
  for (const char* text :
       {"", "linux", "/amd64", "linux/", "linux/arm/v7/x", "Linux/amd64", "a b/c"}) {
    EXPECT_THAT(ParsePlatform(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(PlatformTest, DefaultVariantsAreEqualToNone) {
  EXPECT_TRUE(Matches("linux/arm64", "linux/arm64/v8"));
  EXPECT_TRUE(Matches("linux/arm/v7", "linux/arm"));
  EXPECT_FALSE(Matches("linux/arm", "linux/arm/v6"));
  EXPECT_FALSE(Matches("linux/amd64", "windows/amd64"));
  EXPECT_FALSE(Matches("linux/amd64", "linux/amd64/v3"));
}

}  // namespace
}  // namespace slacker
