#include "backend/https/token_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::https {
namespace {

TEST(TokenFileTest, TokenIsTheOnlyLine) {
  const testing::TempDir directory;
  const std::string path = directory / "token";
  for (const char* text : {"abc.def", "abc.def\n", "abc.def\r\n"}) {
    std::ofstream(path) << text;
    EXPECT_EQ(ReadToken(path).value(), "abc.def");
  }
  std::ofstream(path) << std::string(8192, 'x') << '\n';
  EXPECT_EQ(ReadToken(path).value(), std::string(8192, 'x'));
}

TEST(TokenFileTest, EverythingElseIsUnavailable) {
  const testing::TempDir directory;
  const std::string path = directory / "token";
  EXPECT_THAT(ReadToken(path), testing::StatusIs(absl::StatusCode::kUnavailable, path));
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("a b"), std::string("a\nX-Injected: b"),
        std::string("a\0b", 3), std::string("\xc3\xa4"), std::string(8193, 'x')}) {
    std::ofstream(path) << text;
    EXPECT_THAT(ReadToken(path), testing::StatusIs(absl::StatusCode::kUnavailable, "no token"));
  }
  EXPECT_THAT(ReadToken(directory.path()), testing::StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace slacker::https
