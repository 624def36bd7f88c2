// What reports and comparisons write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cmd/hellobench/report/compare.h"
#include "cmd/hellobench/report/render.h"
#include "cmd/hellobench/report/report.h"
#include "cmd/hellobench/report/sections.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cmd/hellobench/sample_result.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHostile[] = "</script><img src=x onerror=alert(1)>&\"'|*_`\n# x";

TEST(UnitsTest, FiguresHaveThreeDigitsAndTheUnitThatSuits) {
  const struct {
    double value;
    Unit unit;
    const char* text;
  } kCases[] = {
      {0, Unit::kMilliseconds, "0\u00a0ms"},
      {0.1234, Unit::kMilliseconds, "0.123\u00a0ms"},
      {9.996, Unit::kMilliseconds, "10.0\u00a0ms"},
      {999.4, Unit::kMilliseconds, "999\u00a0ms"},
      {999.6, Unit::kMilliseconds, "1.00\u00a0s"},
      {1234, Unit::kMilliseconds, "1.23\u00a0s"},
      {123456, Unit::kMilliseconds, "123\u00a0s"},
      {0.25, Unit::kSeconds, "250\u00a0ms"},
      {1'500'000, Unit::kBytes, "1.50\u00a0MB"},
      {5.25e9, Unit::kBytes, "5.25\u00a0GB"},
      {5.3, Unit::kTimes, "5.30×"},
      {6.4, Unit::kPercent, "6.40\u00a0%"},
      {1234567, Unit::kCount, "1\u202f234\u202f567"},
      {61.5, Unit::kCount, "61.5"},
      {-1234, Unit::kPlain, "-1\u202f234"},
      {0.00123456, Unit::kPlain, "0.00123"},
      {std::numeric_limits<double>::infinity(), Unit::kTimes, "∞"},
  };
  for (const auto& one : kCases) EXPECT_EQ(Format(one.value, one.unit), one.text) << one.value;
}

Document HostileDocument() {
  Document document{kHostile, kHostile, {}};
  Table table{
      "t", kHostile, {{kHostile, false}, {kHostile}}, {{Text(kHostile, kHostile), Text(kHostile)}}};
  Chart chart;
  chart.title = chart.text = chart.x.title = kHostile;
  chart.labels = {kHostile};
  chart.series = {{kHostile, {1.0}, {}}};
  chart.table = table;
  document.sections = {
      {"s",
       kHostile,
       {Paragraph{kHostile}, List{{{kHostile, kHostile}}}, Verbatim{kHostile}, table, chart}}};
  return document;
}

TEST(PageTest, HostileTextIsTextWhereverItStands) {
  const std::string page = ToPage(HostileDocument(), {"", "charts", kHostile, "script"});
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39;"));
  // The page's own three scripts end, and nothing else does.
  size_t ends = 0;
  for (size_t at = page.find("</script"); at != std::string::npos;
       at = page.find("</script", at + 1))
    ++ends;
  EXPECT_EQ(ends, 3u);
}

TEST(PageTest, ChartsGetTheirDataAsItWas) {
  const std::string page = ToPage(HostileDocument(), {"", "charts", "", "script"});
  const std::string begin = "<script type=\"application/json\" id=\"charts\">";
  const size_t from = page.find(begin) + begin.size();
  const auto json = nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
  EXPECT_EQ(json[0]["labels"][0], kHostile);
  EXPECT_EQ(json[0]["series"][0]["name"], kHostile);
}

TEST(PageTest, OnlyThePagesScriptsMayRun) {
  // echo -n charts | openssl dgst -sha256 -binary | base64
  const std::string page = ToPage(HostileDocument(), {"", "charts", "", "script"});
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("script-src 'sha256-OO35n9RkYkZUBP7+qKxb0DcuCWPHiEwrnr/gqIkSwvc=' "
                              "'sha256-IaAnC39moeTCWTPxOh5aG7tHV1eAcpMMgYkTH5xqquE='"));
}

TEST(MarkdownTest, HostileTextStaysInItsCell) {
  const std::string text = ToMarkdown(HostileDocument());
  EXPECT_THAT(
      text, HasSubstr("| \\</script\\>\\<img src=x onerror=alert(1)\\>\\&\"'\\|\\*\\_\\` \\# x ("));
  EXPECT_THAT(text, Not(HasSubstr("\n# x")));
  EXPECT_THAT(text, HasSubstr("|---|---:|\n"));
}

TEST(DocumentTest, WhatIsSlowerIsSaidFirstAndThenWhatFailed) {
  const Document document = MakeDocument(
      {Ready("overlayfs", "redis", 10), Ready("slacker", "redis", 15),
       FailedRun("slacker", "gone", "no such image"), FailedRun("slacker", "gone", "no such image"),
       FailedRun("slacker", "gone", "time limit")});
  EXPECT_EQ(document.sections[0].id, "slower");
  EXPECT_EQ(document.sections[1].id, "failures");
  const std::string text = ToMarkdown(document);
  EXPECT_THAT(
      text,
      HasSubstr("- **slacker, start:** slower than overlayfs in 1 of 1, clearly in 1, at worst "
                "1.50× (redis, 1gbit, warm servers)\n"));
  EXPECT_THAT(text,
              HasSubstr("| slacker | gone | 1gbit, warm servers | 2 of 3 | no such image |\n"));
  EXPECT_THAT(text, HasSubstr("| slacker | gone | 1gbit, warm servers | 1 of 3 | time limit |\n"));
}

TEST(DocumentTest, WithNothingSlowerThePageSaysSo) {
  const std::string text =
      ToMarkdown(MakeDocument({Ready("overlayfs", "redis", 10), Ready("slacker", "redis", 5)}));
  EXPECT_THAT(text,
              HasSubstr("In none of 1\u00a0comparison slower than another snapshotter: slacker."));
  EXPECT_THAT(text, HasSubstr("Nothing: all of 2\u00a0runs got there."));
  EXPECT_THAT(ToMarkdown(MakeDocument({Ready("slacker", "redis", 5)})),
              HasSubstr("Nothing could be compared"));
}

TEST(DocumentTest, EverythingFailedIsAReportToo) {
  const std::string text = ToMarkdown(MakeDocument({FailedRun("slacker", "redis", "no registry")}));
  EXPECT_THAT(text, HasSubstr("1 of 1 runs failed"));
  EXPECT_THAT(text, HasSubstr("no registry"));
}

TEST(DocumentTest, WhatThePaperSaysStandsAboveFiguresOfItsKind) {
  const auto text_of = [](const std::string& scenario, const std::vector<Figure>& figures) {
    Result result = Ready("slacker", "redis", 5);
    result.setup.scenario = scenario;
    result.figures = figures;
    return ToMarkdown(MakeDocument({result}));
  };
  const char* const load = "3 to 19 times sooner";
  const char* const copy_up = "appended to a file of 1 GB";
  const char* const depth = "the deeper of 16 layers";
  EXPECT_THAT(text_of("start", {{"throughput", 5e4, "requests/s"}}),
              AllOf(HasSubstr(load), Not(HasSubstr(copy_up)), Not(HasSubstr(depth))));
  EXPECT_THAT(text_of("copy-up", {{"100 MB", 3, "ms"}}),
              AllOf(HasSubstr(copy_up), Not(HasSubstr(load))));
  EXPECT_THAT(text_of("depth", {{"layer 1", 3, "ms"}}),
              AllOf(HasSubstr(depth), Not(HasSubstr(load))));
  EXPECT_THAT(text_of("start", {}), Not(HasSubstr(load)));
}

TEST(ReportTest, MarkdownAloneMakesNoPage) {
  TempDir directory;
  std::ofstream(directory / "r.jsonl") << ToLine(Ready("overlayfs", "redis", 10)) << "\n";
  ASSERT_OK(WriteReport({{directory / "r.jsonl"}, "", directory / "r.md"}));
  std::ostringstream text;
  text << std::ifstream(directory / "r.md").rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("# HelloBench\n"));
}

TEST(ReportTest, WhatCannotBeReadOrWrittenIsSaid) {
  TempDir directory;
  std::ofstream(directory / "empty.jsonl") << "\n";
  EXPECT_THAT(WriteReport({{directory / "empty.jsonl"}, "", "-"}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(WriteReport({{directory / "none.jsonl"}, "", "-"}).ok());
  std::ofstream(directory / "r.jsonl") << ToLine(Ready("overlayfs", "redis", 10)) << "\n";
  EXPECT_FALSE(WriteReport({{directory / "r.jsonl"}, "", directory / "no/r.md"}).ok());
  EXPECT_THAT(WriteReport({{directory / "r.jsonl"}, "", "/dev/full"}),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

std::vector<Result> Runs(const std::string& image, const std::vector<double>& totals) {
  std::vector<Result> results;
  for (const double total : totals) results.push_back(Ready("slacker", image, total));
  return results;
}

std::vector<Result> operator+(std::vector<Result> one, const std::vector<Result>& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

TEST(CompareTest, TheSameSetupsAreComparedImageByImageAndInAll) {
  const auto before = Runs("a", {10, 11, 12, 13}) + Runs("b", {100, 101, 102, 103});
  const auto after = Runs("a", {20, 21, 22, 23}) + Runs("b", {50, 51, 52, 53});
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare(before, after));
  ASSERT_EQ(comparison.systems.size(), 1u);
  const ComparedSystem& system = comparison.systems[0];
  ASSERT_EQ(system.images.size(), 2u);
  EXPECT_DOUBLE_EQ(system.images[0].ratio.value, 21.5 / 11.5);
  EXPECT_EQ(Verdict(system.images[0].ratio), "slower");
  EXPECT_DOUBLE_EQ(system.images[1].ratio.value, 51.5 / 101.5);
  EXPECT_EQ(Verdict(system.images[1].ratio), "faster");
  EXPECT_NEAR(system.all.value, std::sqrt(21.5 / 11.5 * 51.5 / 101.5), 1e-12);
  EXPECT_EQ(Verdict(system.all), "no difference shown");
}

TEST(CompareTest, SetupsOfOneFileOnlyAndFailuresAreListed) {
  Result other = Ready("slacker", "a", 1);
  other.setup.nodes = 8;
  const auto before = Runs("a", {10}) + Runs("gone", {3}) + Runs("broken", {3});
  const auto after =
      Runs("a", {10}) + std::vector{other, FailedRun("slacker", "broken", "crashed")};
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare(before, after));
  const std::string text = ToText(comparison);
  EXPECT_THAT(text, HasSubstr("A: 0 of 3, B: 1 of 3 runs failed."));
  EXPECT_THAT(
      text,
      HasSubstr("slacker  broken  1gbit, warm servers           all runs failed in B (crashed)\n"));
  EXPECT_THAT(text, HasSubstr("slacker  gone    1gbit, warm servers           only in A\n"));
  EXPECT_THAT(text, HasSubstr("slacker  a       1gbit, 8 nodes, warm servers  only in B\n"));
  EXPECT_THAT(text, HasSubstr("no difference shown"));
  const auto json = nlohmann::json::parse(ToJson(comparison));
  EXPECT_EQ(json["not_compared"].size(), 3u);
  EXPECT_EQ(json["systems"][0]["images"][0]["verdict"], "no difference shown");
}

TEST(CompareTest, SecondRunsAreComparedToo) {
  Result before = Ready("slacker", "a", 10), after = Ready("slacker", "a", 10);
  before.phases.second_ms = 4;
  after.phases.second_ms = 2;
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare({before}, {after}));
  ASSERT_EQ(comparison.systems.size(), 2u);
  EXPECT_EQ(comparison.systems[1].time, "second run");
  EXPECT_DOUBLE_EQ(comparison.systems[1].all.value, 0.5);
}

TEST(CompareTest, ContainersThatStartAtOnceAreOneStart) {
  std::vector<Result> before, after;
  for (int64_t repetition = 0; repetition < 3; ++repetition) {
    for (int64_t node = 0; node < 8; ++node) {
      Result result = Ready("slacker", "a", static_cast<double>(100 + node + repetition));
      result.setup.nodes = 8;
      result.node = node;
      result.repetition = repetition;
      before.push_back(result);
      result.phases.total_ms = *result.phases.total_ms * 2;
      after.push_back(result);
    }
  }
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare(before, after));
  const Compared& image = comparison.systems.at(0).images.at(0);
  EXPECT_EQ(image.before.count, 3);
  EXPECT_DOUBLE_EQ(image.before.median, 108);
  EXPECT_DOUBLE_EQ(image.ratio.value, 2);
  EXPECT_FALSE(image.ratio.shown);
}

TEST(CompareTest, PublicationsAreComparedToo) {
  Result before = Ready("slacker", "a", 1), after = before;
  before.setup.scenario = after.setup.scenario = "prepare";
  before.phases = after.phases = {};
  before.phases.prepare_ms = 10;
  after.phases.prepare_ms = 5;
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare({before}, {after}));
  ASSERT_EQ(comparison.systems.size(), 1u);
  EXPECT_EQ(comparison.systems[0].time, "publication");
  EXPECT_DOUBLE_EQ(comparison.systems[0].all.value, 0.5);
}

TEST(CompareTest, OtherMachinesAreTold) {
  Result elsewhere = Ready("slacker", "a", 10);
  elsewhere.session.machine.cpu = "another";
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare(Runs("a", {1}), {elsewhere}));
  EXPECT_THAT(ToText(comparison), HasSubstr("They come from different machines."));
}

TEST(CompareTest, NothingInCommonIsAnError) {
  EXPECT_THAT(Compare(Runs("a", {1}), Runs("b", {1})),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Compare({}, Runs("b", {1})), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(CompareTest, TextOfResultsStaysOnItsLine) {
  const auto hostile = Runs("a\n\x1b[2Jb", {1});
  ASSERT_OK_AND_ASSIGN(const Comparison comparison, Compare(hostile, hostile));
  EXPECT_THAT(ToText(comparison), HasSubstr("a  [2Jb"));
}

}  // namespace
}  // namespace slacker::hellobench
