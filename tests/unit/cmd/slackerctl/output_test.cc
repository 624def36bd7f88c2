#include "cmd/slackerctl/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <sstream>

#include "backend/base/status.h"
#include "cmd/common/hint.h"

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

TEST(PrintRowsTest, ColumnsStandUnderEachOtherOnATerminal) {
  std::ostringstream out;
  PrintRows(Console{out, out, false, true}, {"A", "LONG", "C"},
            {{TextCell("wide"), TextCell("x"), SizeCell(2048)},
             {TextCell("\xc3\xa4"), TextCell("y"), CountCell(2)}});
  EXPECT_EQ(out.str(), "A     LONG  C\nwide  x     2.0 KiB\n\xc3\xa4     y     2\n");
}

TEST(PrintRowsTest, ProgramsGetExactValuesAndTabs) {
  std::ostringstream out;
  PrintRows(Console{out, out}, {"A", "B"}, {{TextCell("a b\t"), SizeCell(2048)}});
  EXPECT_EQ(out.str(), "a b\\t\t2048\n");
}

TEST(PrintRowsTest, WithoutRowsProgramsGetNothing) {
  std::ostringstream out;
  PrintRows(Console{out, out}, {"A"}, {});
  EXPECT_EQ(out.str(), "");
}

TEST(PrintFieldsTest, ValuesStandUnderEachOther) {
  std::ostringstream out;
  PrintFields(Console{out, out, false, true}, {{"a", TextCell("1")}, {"long", SizeCell(1024)}});
  EXPECT_EQ(out.str(), "a:    1\nlong: 1.0 KiB\n");
}

struct EscapeCase {
  const char* name;
  std::string bytes;
  std::string escaped;
};

class EscapeTest : public ::testing::TestWithParam<EscapeCase> {};

TEST_P(EscapeTest, NothingSteersATerminal) {
  EXPECT_EQ(Escape(GetParam().bytes), GetParam().escaped);
}

INSTANTIATE_TEST_SUITE_P(
    Bytes, EscapeTest,
    ::testing::Values(EscapeCase{"Printable", "a \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                                 "a \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
                      EscapeCase{"Controls", "\n\t\\\x1b[31m\x7f", "\\n\\t\\\\\\033[31m\\177"},
                      EscapeCase{"Nul", std::string("a\0b", 3), "a\\000b"},
                      EscapeCase{"C1Control", "\xc2\x9b", "\\302\\233"},
                      EscapeCase{"Direction", "\xe2\x80\xae", "\\342\\200\\256"},
                      EscapeCase{"NoUtf8", "a\xff", "a\\377"},
                      EscapeCase{"Truncated", "\xe2\x82", "\\342\\202"},
                      EscapeCase{"Overlong", "\xc0\xaf", "\\300\\257"},
                      EscapeCase{"LongOverlong", "\xe0\x80\xaf", "\\340\\200\\257"},
                      EscapeCase{"Surrogate", "\xed\xa0\x80", "\\355\\240\\200"},
                      EscapeCase{"TooLarge", "\xf4\x90\x80\x80", "\\364\\220\\200\\200"}),
    [](const auto& test) { return test.param.name; });

TEST(SetBytesTest, BytesThatAreNoTextComeInHexToo) {
  nlohmann::json json;
  SetBytes(&json, "text", "a\xc3\xa4\n");
  SetBytes(&json, "bytes", "a\xff\xc3");
  EXPECT_EQ(json["text"], "a\xc3\xa4\n");
  EXPECT_FALSE(json.contains("text_hex"));
  EXPECT_EQ(json["bytes"], "a\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(json["bytes_hex"], "61ffc3");
}

TEST(PrintJsonTest, BytesThatAreNotUtf8DoNotEndTheProgram) {
  std::ostringstream out;
  PrintJson(out, {{"name", "a\xff"}});
  EXPECT_THAT(out.str(), HasSubstr("a\xef\xbf\xbd"));
}

TEST(PrintErrorTest, SaysWhatToDo) {
  std::ostringstream err;
  PrintError(err, Annotate(WithHint(PermissionDenied("no\x1b"), "ask"), "x"));
  EXPECT_EQ(err.str(), "slackerctl: x: no?\n  hint: ask.\n");
  err.str("");
  PrintError(err, ErrnoError(ENOSPC, "write x"));
  EXPECT_THAT(err.str(), HasSubstr("free some space"));
  err.str("");
  PrintError(err, Unavailable("who knows why"));
  EXPECT_EQ(err.str(), "slackerctl: who knows why\n");
}

TEST(JsonListTest, WhatHasBegunIsWholeJson) {
  const auto written = [](int elements, const absl::Status& status) {
    std::ostringstream out;
    JsonList list(&out);
    for (int i = 0; i < elements; ++i) list.Add({{"path", "a\xff"}});
    list.End(status);
    return out.str();
  };
  EXPECT_EQ(written(0, absl::OkStatus()), "[]\n");
  EXPECT_EQ(nlohmann::json::parse(written(2, absl::OkStatus())).size(), 2u);
  EXPECT_EQ(written(0, absl::UnavailableError("away")), "");
  const auto cut = nlohmann::json::parse(written(2, absl::UnavailableError("away")));
  ASSERT_EQ(cut.size(), 3u);
  EXPECT_EQ(cut[1]["path"], "a\ufffd");
  EXPECT_EQ(cut[2], nlohmann::json({{"error", "away"}}));
}

}  // namespace
}  // namespace slacker::ctl
