#include "cmd/slackerctl/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "backend/base/status.h"

namespace slacker::ctl {
namespace {

using ::testing::HasSubstr;

TEST(HumanSizeTest, HasAtMostFourDigits) {
  EXPECT_EQ(HumanSize(0), "0 B");
  EXPECT_EQ(HumanSize(1023), "1023 B");
  EXPECT_EQ(HumanSize(1024), "1.0 KiB");
  EXPECT_EQ(HumanSize(1536), "1.5 KiB");
  EXPECT_EQ(HumanSize(10 * 1024 + 700), "11 KiB");
  EXPECT_EQ(HumanSize((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(HumanSize(300ull << 20), "300 MiB");
  EXPECT_EQ(HumanSize(UINT64_MAX), "16 EiB");
}

TEST(FormatTimeTest, IsUtc) { EXPECT_EQ(FormatTime(1'600'000'000), "2020-09-13T12:26:40Z"); }

TEST(PrintTableTest, ColumnsStandUnderEachOther) {
  std::ostringstream out;
  PrintTable(out, {"A", "LONG", "C"}, {{"wide", "x", "1"}, {"\xc3\xa4", "y", "2"}});
  EXPECT_EQ(out.str(), "A     LONG  C\nwide  x     1\n\xc3\xa4     y     2\n");
}

TEST(PrintTableTest, ControlCharactersDoNotReachTheTerminal) {
  std::ostringstream out;
  PrintTable(out, {"A"}, {{"\x1b[31m\n\x7f"}});
  EXPECT_EQ(out.str(), "A\n?[31m??\n");
}

TEST(PrintJsonTest, BytesThatAreNotUtf8DoNotEndTheProgram) {
  std::ostringstream out;
  PrintJson(out, {{"name", "a\xff"}});
  EXPECT_THAT(out.str(), HasSubstr("a\xef\xbf\xbd"));
}

TEST(PrintErrorTest, SaysWhatToDo) {
  std::ostringstream err;
  PrintError(err, PermissionDenied("no\x1b"));
  EXPECT_THAT(err.str(), HasSubstr("slackerctl: no?\n"));
  EXPECT_THAT(err.str(), HasSubstr("docker login"));
}

}  // namespace
}  // namespace slacker::ctl
