// What reports and comparisons write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>
#include <variant>

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
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

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
      {Ready("overlayfs", "redis", 10), Ready("overlayfs", "redis", 10),
       Ready("slacker", "redis", 15), Ready("slacker", "redis", 15),
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

TEST(DocumentTest, OfASingleRunNothingIsClear) {
  const std::string text =
      ToMarkdown(MakeDocument({Ready("overlayfs", "redis", 10), Ready("overlayfs", "redis", 11),
                               Ready("slacker", "redis", 30), Ready("overlayfs", "nginx", 10),
                               Ready("overlayfs", "nginx", 11), Ready("slacker", "nginx", 20),
                               Ready("slacker", "nginx", 21)}));
  EXPECT_THAT(text,
              HasSubstr("slower than overlayfs in 2 of 2, clearly in 1, by a single run in 1, "
                        "at worst 2.86× (redis, 1gbit, warm servers)\n"));
  const std::vector<Section> sections =
      SlowerTableSections(Model({Ready("overlayfs", "redis", 10), Ready("slacker", "redis", 30)}));
  ASSERT_EQ(sections.size(), 1u);
  EXPECT_EQ(std::get<Table>(sections[0].blocks.at(0)).rows.at(0).back().text, "one run");
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

TEST(DocumentTest, FirstRepliesStandBesideThePapers) {
  const auto run = [](const char* snapshotter, const char* image, double reply_ms) {
    Result result = Ready(snapshotter, image, 5);
    result.figures = {{"throughput", 5e4, "requests/s"}};
    if (reply_ms > 0) result.figures.push_back({"first_reply", reply_ms, "ms"});
    return result;
  };
  const std::string text = ToMarkdown(MakeDocument(
      {run("overlayfs", "redis", 800), run("slacker", "redis", 200), run("stargz", "redis", 0),
       run("overlayfs", "nginx", 300), run("slacker", "httpd", 100), run("slacker", "nginx", 0)}));
  EXPECT_THAT(text,
              HasSubstr("| Image | Paper, Slacker | slacker | stargz |\n|---|---:|---:|---:|\n"
                        "| redis | 3× to 19× | 4.00× | – |\n\n"));
  EXPECT_THAT(text, HasSubstr("sooner than with overlayfs: 1gbit, warm servers"));
  EXPECT_THAT(ToMarkdown(MakeDocument({run("overlayfs", "redis", 8), run("slacker", "redis", 0)})),
              Not(HasSubstr("sooner than with overlayfs")));
}

TEST(DocumentTest, WhatRecordedStartsReadStandsBesideThePapers) {
  const auto prepared = [](const char* image, const char* category, double read, double layers) {
    Result result = Ready("slacker", image, 1);
    result.setup.scenario = kPreparation;
    result.setup.category = category;
    result.figures = {{"image.read", read, "bytes"}};
    if (layers > 0) result.figures.push_back({"image.layers", layers, "bytes"});
    return result;
  };
  Result debian = Ready("slacker", "debian", 5);
  debian.setup.category = "distro";
  const std::string name = "data read by a recorded start, of the layers, uncompressed";
  // Of all bytes together, not the mean of shares; what tells no size has no part in it.
  EXPECT_THAT(ToMarkdown(MakeDocument(
                  {Ready("overlayfs", "redis", 5), Ready("slacker", "redis", 5),
                   Ready("slacker", "nginx", 5), debian, prepared("redis", "other", 10, 300),
                   prepared("nginx", "other", 50, 0), prepared("debian", "distro", 10, 100)})),
              AllOf(HasSubstr("| Data" + name.substr(4) +
                              ": all together | 6.4\u00a0% | – | – | 5.00\u00a0% |\n"),
                    HasSubstr("| distro: " + name + " | – | – | – | 10.0\u00a0% |\n"),
                    HasSubstr("| other: " + name + " | – | – | – | 3.33\u00a0% |\n")));
  EXPECT_THAT(ToMarkdown(MakeDocument({Ready("slacker", "redis", 5)})),
              Not(HasSubstr("recorded start,")));
}

// A run of every container that starts with this one, the last of them ready after `last_ms`.
std::vector<Result> AtOnce(Result result, double last_ms) {
  const int64_t count = result.setup.nodes * result.setup.at_once;
  std::vector<Result> results;
  for (int64_t index = 0; index < count; ++index) {
    result.node = index / result.setup.at_once;
    result.container = index % result.setup.at_once;
    result.phases.total_ms = last_ms * static_cast<double>(index + 1) / static_cast<double>(count);
    results.push_back(result);
  }
  return results;
}

// Three repetitions of that, of which the one in the middle takes `median_ms`.
std::vector<Result> Repeated(Result result, int64_t nodes, int64_t at_once, double median_ms) {
  result.setup.nodes = nodes;
  result.setup.at_once = at_once;
  std::vector<Result> results;
  for (const double beside : {-1.0, 0.0, 5.0}) {
    for (const Result& one : AtOnce(result, median_ms + beside)) results.push_back(one);
    ++result.repetition;
  }
  return results;
}

std::vector<Chart> CrowdChartsOf(const std::vector<Result>& results) {
  std::vector<Chart> charts;
  for (const Section& section : CrowdSections(Model(results))) {
    for (const Block& block : section.blocks) charts.push_back(std::get<Chart>(block));
  }
  return charts;
}

// By their names, what stands in the columns behind them; -1 for nothing.
std::vector<std::pair<std::string, std::vector<double>>> RowsOf(const Table& table) {
  std::vector<std::pair<std::string, std::vector<double>>> rows;
  for (const std::vector<TableCell>& row : table.rows) {
    auto& [name, values] = rows.emplace_back(row.at(0).text, std::vector<double>());
    for (size_t i = 1; i < row.size(); ++i) values.push_back(row[i].value.value_or(-1));
  }
  return rows;
}

TEST(CrowdTest, OfScalabilityEachSizeOfEachSystemIsALineOfItsOwn) {
  std::vector<Result> results;
  for (const int64_t at_once : {1, 2, 4}) {
    for (const auto& [image, ms] : {std::pair("scale-1m", 10.0), std::pair("scale-10m", 100.0)}) {
      Result baseline = Ready("overlayfs", image, 1), lazy = Ready("slacker", image, 1);
      lazy.setup.store = "nfs";
      baseline.setup.scenario = lazy.setup.scenario = "scalability";
      const auto times = static_cast<double>(at_once);
      for (const auto& of_one :
           {Repeated(baseline, 1, at_once, ms * times), Repeated(lazy, 1, at_once, ms + times)}) {
        results.insert(results.end(), of_one.begin(), of_one.end());
      }
    }
  }
  const std::vector<Chart> charts = CrowdChartsOf(results);
  ASSERT_EQ(charts.size(), 1u);
  const Chart& chart = charts[0];
  EXPECT_EQ(chart.title, "Started at once: on one node, scalability, 1gbit, warm servers");
  EXPECT_THAT(chart.text, HasSubstr("each image by itself. The paper's 32 pulls at once took"));
  EXPECT_FALSE(chart.series_are_systems);
  ASSERT_EQ(chart.table.columns.size(), 4u);
  EXPECT_EQ(chart.table.columns[3].name, "4");
  EXPECT_THAT(RowsOf(chart.table),
              ElementsAre(Pair("overlayfs, scale-10m", ElementsAre(100, 200, 400)),
                          Pair("overlayfs, scale-1m", ElementsAre(10, 20, 40)),
                          Pair("slacker/nfs, scale-10m", ElementsAre(101, 102, 104)),
                          Pair("slacker/nfs, scale-1m", ElementsAre(11, 12, 14))));
  ASSERT_EQ(chart.series.size(), 4u);
  EXPECT_EQ(chart.series[2].name, "slacker/nfs, scale-10m");
  EXPECT_THAT(chart.series[2].points, ElementsAre(Pair(1, 101), Pair(2, 102), Pair(4, 104)));
  EXPECT_THAT(ToMarkdown(MakeDocument(results)), HasSubstr("32 pulls at once took about 2 s"));
}

TEST(CrowdTest, OfScalabilityWhatNeverGotReadyHasNoLineAndWhatOnceDidNotHasAGap) {
  std::vector<Result> results;
  for (const int64_t at_once : {1, 2}) {
    for (const char* image : {"scale-1m", "scale-10m", "scale-100m"}) {
      Result result = Ready("slacker", image, 1);
      result.setup.scenario = "scalability";
      if (std::string(image) == "scale-100m") result.error = "no space left";
      if (std::string(image) == "scale-10m" && at_once == 2) result.error = "time limit";
      const std::vector<Result> repeated = Repeated(result, 1, at_once, 10);
      results.insert(results.end(), repeated.begin(), repeated.end());
    }
  }
  const std::vector<Chart> charts = CrowdChartsOf(results);
  ASSERT_EQ(charts.size(), 1u);
  EXPECT_THAT(RowsOf(charts[0].table), ElementsAre(Pair("slacker, scale-10m", ElementsAre(10, -1)),
                                                   Pair("slacker, scale-1m", ElementsAre(10, 10))));
}

TEST(CrowdTest, OrdinaryStartsOnMoreNodesAreMediansOverTheImagesThatAllGotReady) {
  std::vector<Result> results;
  for (const int64_t nodes : {1, 8}) {
    for (const auto& [image, ms] :
         {std::pair("redis", 10.0), std::pair("mongo", 30.0), std::pair("gone", 500.0)}) {
      for (const char* snapshotter : {"overlayfs", "slacker"}) {
        Result result = Ready(snapshotter, image, 1);
        const bool is_baseline = result.setup.snapshotter == kBaseline;
        if (!is_baseline && nodes == 8 && result.setup.image == "gone") result.error = "time limit";
        const double factor = is_baseline ? static_cast<double>(nodes) : 2;
        const std::vector<Result> repeated = Repeated(result, nodes, 1, ms * factor);
        results.insert(results.end(), repeated.begin(), repeated.end());
      }
    }
  }
  const std::vector<Chart> charts = CrowdChartsOf(results);
  ASSERT_EQ(charts.size(), 1u);
  EXPECT_EQ(charts[0].title, "Started at once: 1gbit, warm servers");
  EXPECT_THAT(charts[0].text, HasSubstr("medians over 2\u00a0images. The paper's 32 pulls"));
  EXPECT_TRUE(charts[0].series_are_systems);
  EXPECT_THAT(RowsOf(charts[0].table), ElementsAre(Pair("overlayfs", ElementsAre(20, 160)),
                                                   Pair("slacker", ElementsAre(40, 40))));
}

TEST(CrowdTest, MoreNodesAndMoreOnOneAreTwoCrowdsAndNothingIsInACrowdOfOne) {
  std::vector<Result> results;
  const std::pair<int64_t, int64_t> kCases[] = {{1, 1}, {8, 1}, {1, 4}, {2, 16}};
  for (const auto& [nodes, at_once] : kCases) {
    const auto containers = static_cast<double>(nodes * at_once);
    const std::vector<Result> repeated =
        Repeated(Ready("slacker", "redis", 1), nodes, at_once, 10 * containers);
    results.insert(results.end(), repeated.begin(), repeated.end());
  }
  const std::vector<Chart> charts = CrowdChartsOf(results);
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0].title, "Started at once: 1gbit, warm servers");
  EXPECT_THAT(RowsOf(charts[0].table), ElementsAre(Pair("slacker", ElementsAre(10, 80))));
  EXPECT_EQ(charts[1].title, "Started at once: on one node, 1gbit, warm servers");
  EXPECT_THAT(RowsOf(charts[1].table), ElementsAre(Pair("slacker", ElementsAre(10, 40))));
  EXPECT_THAT(CrowdChartsOf(Repeated(Ready("slacker", "redis", 1), 1, 8, 10)), IsEmpty());
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

TEST(ReportTest, ResultsOfAnOlderSchemaAreReportedButNotWithNewerOnes) {
  TempDir directory;
  Result old = Ready("overlayfs", "redis", 10);
  old.schema = 1;
  std::ofstream(directory / "old.jsonl") << ToLine(old) << "\n";
  std::ofstream(directory / "new.jsonl") << ToLine(Ready("overlayfs", "redis", 10)) << "\n";
  EXPECT_OK(WriteReport({{directory / "old.jsonl"}, "", directory / "r.md"}));
  EXPECT_THAT(
      WriteReport({{directory / "old.jsonl", directory / "new.jsonl"}, "", directory / "r.md"}),
      StatusIs(absl::StatusCode::kFailedPrecondition, "of schema 1 and of schema 2"));
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

TEST(CompareTest, ResultsOfTwoSchemasAreNotCompared) {
  std::vector<Result> old = Runs("a", {1, 2});
  for (Result& result : old) result.schema = 1;
  EXPECT_OK(Compare(old, old));
  for (const auto& [before, after] :
       {std::pair(old, Runs("a", {1})), std::pair(Runs("a", {1}), old),
        std::pair(old + Runs("a", {1}), old)}) {
    EXPECT_THAT(Compare(before, after),
                StatusIs(absl::StatusCode::kFailedPrecondition, "of schema "));
  }
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
