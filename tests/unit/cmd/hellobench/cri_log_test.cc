#include "cmd/hellobench/cri_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;

struct Case {
  std::string name;
  std::string log;
  std::string text;
};

class ParseCriLogTest : public ::testing::TestWithParam<Case> {};

TEST_P(ParseCriLogTest, YieldsText) { EXPECT_EQ(ParseCriLog(GetParam().log), GetParam().text); }

INSTANTIATE_TEST_SUITE_P(
    Logs, ParseCriLogTest,
    ::testing::Values(Case{"Nothing", "", ""},
                      Case{"WholeLine", "2026-01-01T00:00:00Z stdout F hello\n", "hello\n"},
                      Case{"BothStreams", "t stdout F one\nt stderr F two\n", "one\ntwo\n"},
                      Case{"PartsAreJoined", "t stdout P one \nt stdout P and\nt stdout F  two\n",
                           "one and two\n"},
                      Case{"EmptyLine", "t stdout F \n", "\n"},
                      Case{"TextWithSpaces", "t stdout F  a  b \n", " a  b \n"},
                      Case{"UnfinishedRecordWaits", "t stdout F one\nt stdout F tw", "one\n"},
                      Case{"MalformedLineIsSkipped",
                           "\nnonsense\nt stdout\nt other F x\nt stdout F y\n", "y\n"}),
    [](const ::testing::TestParamInfo<Case>& test) { return test.param.name; });

TEST(CriLogFollowerTest, MissingFileIsEmpty) {
  const TempDir dir;
  const auto text = CriLogFollower(dir / "log").Read();
  ASSERT_THAT(text, IsOk());
  EXPECT_EQ(*text, "");
}

TEST(CriLogFollowerTest, ReadsWhatWasAppendedSince) {
  const TempDir dir;
  std::ofstream file(dir / "log");
  file << "t stdout F one\n" << std::flush;
  const CriLogFollower follower(dir / "log");
  EXPECT_EQ(follower.Read().value(), "one\n");
  file << "t stderr F two\n" << std::flush;
  EXPECT_EQ(follower.Read().value(), "one\ntwo\n");
}

TEST(CriLogFollowerTest, DirectoryIsAnError) {
  const TempDir dir;
  EXPECT_THAT(CriLogFollower(dir.path()).Read(), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace slacker::hellobench
