#include "cmd/hellobench/results/result.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;

Result Whole() {
  Result result;
  result.session = {"s1",
                    {"hellobench", "measure", "redis"},
                    ~uint64_t{0},
                    {"cpu", "6.18", "Debian", 2, 24},
                    {{"containerd", "2.4.2"}}};
  result.setup = {"start", "redis", "database", "W", "slacker", "nfs", "1gbit", "dropped", 2, 3};
  result.time = "2026-11-26T12:00:00Z";
  result.position = 4;
  result.repetition = 5;
  result.node = 1;
  result.container = 2;
  result.image_bytes = 1 << 30;
  result.image_layers = 6;
  result.phases = {1, 2, 3, 4.5, 9.5, 7};
  result.traffic = {1, 2, 3, 4, 5, 6};
  result.disk_bytes = 8;
  result.daemons = {{"containerd", 0.25, 1 << 20}};
  result.figures = {{"throughput", 12.5, "requests/s"}};
  return result;
}

TEST(ResultTest, ALineGivesTheRunBack) {
  ASSERT_OK_AND_ASSIGN(const Result read, ParseResult(ToLine(Whole())));
  EXPECT_EQ(read, Whole());
}

TEST(ResultTest, WhatWasNotMeasuredIsAbsentFromTheLine) {
  Result failed;
  failed.error = "not ready within 3 s";
  ASSERT_OK_AND_ASSIGN(const Result read, ParseResult(ToLine(failed)));
  EXPECT_EQ(read, failed);
  const auto json = nlohmann::json::parse(ToLine(failed));
  EXPECT_TRUE(json["phases"].empty());
  EXPECT_TRUE(json["traffic"].empty());
  EXPECT_FALSE(json.contains("disk_bytes"));
}

TEST(ResultTest, FiguresAreLinesOfTheirOwnAmongOthers) {
  std::vector<Figure> figures;
  AddFigures(
      "published\nhellobench-figure image.read 4096 bytes\n hellobench-figure a 1.5 ms x\n"
      "hellobench-figure b many ms\nhellobench-figures c 1 ms\nhellobench-figure d 1\n",
      &figures);
  EXPECT_EQ(figures, (std::vector<Figure>{{"image.read", 4096, "bytes"}, {"a", 1.5, "ms"}}));
}

TEST(ResultTest, FieldsOfLaterVersionsAreIgnored) {
  auto json = nlohmann::json::parse(ToLine(Whole()));
  json["weather"] = "fine";
  json["setup"]["phase_of_the_moon"] = 3;
  ASSERT_OK_AND_ASSIGN(const Result read, ParseResult(json.dump()));
  EXPECT_EQ(read, Whole());
}

TEST(ResultTest, EveryMissingOrWrongFieldIsNamed) {
  const auto whole = nlohmann::json::parse(ToLine(Whole()));
  for (const auto& [name, value] : whole.items()) {
    if (name == "schema" || name == "disk_bytes") continue;
    auto without = whole;
    without.erase(name);
    EXPECT_THAT(ParseResult(without.dump()),
                StatusIs(absl::StatusCode::kInvalidArgument, name + ": is missing"));
    auto wrong = whole;
    wrong[name] = nullptr;
    EXPECT_THAT(ParseResult(wrong.dump()),
                StatusIs(absl::StatusCode::kInvalidArgument, name + ": "));
  }
  auto inner = whole;
  inner["daemons"][0]["cpu_seconds"] = "many";
  EXPECT_THAT(ParseResult(inner.dump()), StatusIs(absl::StatusCode::kInvalidArgument,
                                                  "daemons.cpu_seconds: is of another type"));
}

TEST(ResultTest, NumbersThatDoNotFitAreRefused) {
  for (const char* number : {"9223372036854775808", "18446744073709551615", "1e30", "1.5"}) {
    auto json = nlohmann::json::parse(ToLine(Whole()));
    json["setup"]["nodes"] = nlohmann::json::parse(number);
    EXPECT_THAT(ParseResult(json.dump()),
                StatusIs(absl::StatusCode::kInvalidArgument, "setup.nodes: is of another type"))
        << number;
  }
  auto json = nlohmann::json::parse(ToLine(Whole()));
  json["setup"]["nodes"] = std::numeric_limits<int64_t>::max();
  EXPECT_OK(ParseResult(json.dump()));
}

TEST(ResultTest, OlderSchemasAreReadAndStayWhatTheyAre) {
  Result old = Whole();
  old.schema = 1;
  ASSERT_OK_AND_ASSIGN(const Result read, ParseResult(ToLine(old)));
  EXPECT_EQ(read.schema, 1);
  EXPECT_EQ(read, old);
  EXPECT_EQ(nlohmann::json::parse(ToLine(Whole()))["schema"], 2);
}

TEST(ResultTest, ResultsOfTwoSchemasAreNotPutTogether) {
  Result old = Whole();
  old.schema = 1;
  EXPECT_OK(CheckOneSchema({}));
  EXPECT_OK(CheckOneSchema({Whole(), Whole()}));
  EXPECT_OK(CheckOneSchema({old, old}));
  EXPECT_THAT(CheckOneSchema({old, Whole()}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "of schema 1 and of schema 2"));
}

TEST(ResultTest, OtherSchemasAndOtherTextAreRefused) {
  const auto with = [](const nlohmann::json& schema) {
    auto json = nlohmann::json::parse(ToLine(Whole()));
    json["schema"] = schema;
    return json.dump();
  };
  for (const std::string& text :
       {with(kResultSchema + 1), with(kOldestResultSchema - 1), with("2"), with(1.5),
        std::string("{}"), std::string("[]"), std::string("\xff")}) {
    EXPECT_THAT(ParseResult(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ResultTest, TextThatIsNotUtf8IsKeptAsFarAsItCanBe) {
  Result result = Whole();
  result.error = "it wrote \xff and ended";
  ASSERT_OK_AND_ASSIGN(const Result read, ParseResult(ToLine(result)));
  EXPECT_EQ(read.error, "it wrote \xef\xbf\xbd and ended");
}

TEST(ResultTest, FilesOfSeveralMeasurementsAreReadAndWrongLinesAreTold) {
  TempDir directory;
  const std::string path = directory.path() + "/results.jsonl";
  std::ofstream(path) << ToLine(Whole()) << "\n\n" << ToLine(Whole()) << "\n";
  ASSERT_OK_AND_ASSIGN(const std::vector<Result> results, ReadResults(path));
  EXPECT_EQ(results, (std::vector<Result>{Whole(), Whole()}));
  std::ofstream(path, std::ios::app) << "oops\n";
  EXPECT_THAT(ReadResults(path), StatusIs(absl::StatusCode::kInvalidArgument, "results.jsonl:4: "));
  EXPECT_FALSE(ReadResults(directory.path() + "/none").ok());
}

}  // namespace
}  // namespace slacker::hellobench
