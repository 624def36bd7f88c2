#include "cmd/hellobench/cri/cri_log.h"

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

class CriLogTest : public ::testing::TestWithParam<Case> {
 protected:
  TempDir dir_;
};

TEST_P(CriLogTest, YieldsText) {
  std::ofstream(dir_ / "log") << GetParam().log;
  CriLogFollower follower(dir_ / "log");
  ASSERT_THAT(follower.Read(), IsOk());
  EXPECT_EQ(follower.text(), GetParam().text);
}

TEST_P(CriLogTest, YieldsTheSameByteForByte) {
  std::ofstream file(dir_ / "log");
  CriLogFollower follower(dir_ / "log");
  for (const char c : GetParam().log) {
    file << c << std::flush;
    ASSERT_THAT(follower.Read(), IsOk());
  }
  EXPECT_EQ(follower.text(), GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(
    Logs, CriLogTest,
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

TEST(CriLogFollowerTest, FileThatIsNotThereYetIsEmpty) {
  const TempDir dir;
  CriLogFollower follower(dir / "log");
  ASSERT_THAT(follower.Read(), IsOk());
  EXPECT_EQ(follower.text(), "");
  std::ofstream(dir / "log") << "t stdout F one\n";
  ASSERT_THAT(follower.Read(), IsOk());
  EXPECT_EQ(follower.text(), "one\n");
}

TEST(CriLogFollowerTest, ChangesEndTheWait) {
  const TempDir dir;
  CriLogFollower follower(dir / "log");
  std::ofstream(dir / "log") << "t stdout F one\n";
  follower.WaitForChange(std::chrono::hours(1));
  ASSERT_THAT(follower.Read(), IsOk());
  EXPECT_EQ(follower.text(), "one\n");
}

TEST(CriLogFollowerTest, DirectoryIsAnError) {
  const TempDir dir;
  EXPECT_THAT(CriLogFollower(dir.path()).Read(), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace slacker::hellobench
