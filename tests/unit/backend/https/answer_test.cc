#include "backend/https/answer.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/status_matchers.h"

namespace slacker::https {
namespace {

using testing::StatusIs;

constexpr absl::StatusCode kInternal = absl::StatusCode::kInternal;
constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;
constexpr char kObject[] = "0123456789";

// What becomes of an answer with this head and body, asked for [2, 6) of kObject. The body comes
// in pieces of `step` bytes.
absl::StatusOr<std::string> Judge(const std::vector<std::string>& head, std::string_view body,
                                  size_t step, uint64_t offset = 2, uint64_t size = 4) {
  Answer answer(offset, size);
  for (const std::string& line : head) EXPECT_TRUE(answer.OnHeader(line + "\r\n"));
  EXPECT_TRUE(answer.OnHeader("\r\n"));
  while (!body.empty() && answer.OnBody(body.substr(0, step))) {
    body.remove_prefix(std::min(step, body.size()));
  }
  return answer.TakeBytes();
}

struct Case {
  const char* name;
  std::vector<std::string> head;
  std::string body;
  std::string bytes;  // expected, unless
  absl::StatusCode code = absl::StatusCode::kOk;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

class AnswerTest : public ::testing::TestWithParam<Case> {};

TEST_P(AnswerTest, IsBelievedOnlyIfItFits) {
  const Case& test = GetParam();
  for (const size_t step : {1, 3, 1 << 20}) {
    const auto bytes = Judge(test.head, test.body, step);
    EXPECT_EQ(bytes.status().code(), test.code) << bytes.status();
    EXPECT_EQ(bytes.value_or(""), test.bytes);
  }
}

const Case kCases[] = {
    {"TheRange", {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/10"}, "2345", "2345"},
    {"TheRangeOfHttp2", {"HTTP/2 206", "content-range: bytes 2-5/10"}, "2345", "2345"},
    {"TotalUnknown", {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/*"}, "2345", "2345"},
    {"ShortAtTheEnd", {"HTTP/1.1 206 x", "Content-Range: bytes 2-3/4"}, "23", "23"},
    {"ShortBeforeTheEnd", {"HTTP/1.1 206 x", "Content-Range: bytes 2-3/10"}, "23", "", kInternal},
    {"ShortAndTotalUnknown", {"HTTP/1.1 206 x", "Content-Range: bytes 2-3/*"}, "23", "", kInternal},
    {"AnotherRange", {"HTTP/1.1 206 x", "Content-Range: bytes 3-6/10"}, "3456", "", kInternal},
    {"ALongerRange", {"HTTP/1.1 206 x", "Content-Range: bytes 2-6/10"}, "23456", "", kInternal},
    {"FromTheBeginning", {"HTTP/1.1 206 x", "Content-Range: bytes 0-3/10"}, "0123", "", kInternal},
    {"NoRange", {"HTTP/1.1 206 x"}, "2345", "", kInternal},
    {"SeveralRanges",
     {"HTTP/1.1 206 x", "Content-Type: multipart/byteranges; boundary=x"},
     "--x",
     "",
     kInternal},
    {"RangeAndAnotherLength",
     {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/10", "Content-Length: 3"},
     "234",
     "",
     kInternal},
    {"BodyLongerThanItsRange",
     {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/10"},
     "23456789",
     "",
     kInternal},
    {"BodyShorterThanItsRange",
     {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/10"},
     "234",
     "",
     kUnavailable},
    {"Encoded",
     {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/10", "Content-Encoding: gzip"},
     "2345",
     "",
     kInternal},
    {"EncodedAsItIs",
     {"HTTP/1.1 206 x", "Content-Range: bytes 2-5/10", "Content-Encoding: Identity"},
     "2345",
     "2345"},
    {"Whole", {"HTTP/1.1 200 x", "Content-Length: 10"}, kObject, "2345"},
    {"WholeOfUnknownLength", {"HTTP/1.1 200 x"}, kObject, "2345"},
    {"WholeThatEndsThere", {"HTTP/1.1 200 x", "Content-Length: 6"}, "012345", "2345"},
    {"WholeThatEndsBefore", {"HTTP/1.1 200 x", "Content-Length: 4"}, "0123", "23"},
    {"WholeThatEndsBeforeTheRange", {"HTTP/1.1 200 x", "Content-Length: 2"}, "01", ""},
    {"WholeAndEmpty", {"HTTP/1.1 200 x", "Content-Length: 0"}, "", ""},
    {"WholeCutShort", {"HTTP/1.1 200 x", "Content-Length: 10"}, "012", "", kUnavailable},
    {"WholeOfUnknownLengthThatEndsBefore", {"HTTP/1.1 200 x"}, "0123", "", kInternal},
    {"WholeEncoded",
     {"HTTP/1.1 200 x", "Content-Length: 10", "Content-Encoding: br"},
     kObject,
     "",
     kInternal},
    {"BeyondTheEnd", {"HTTP/1.1 416 x", "Content-Range: bytes */2"}, "an error page", ""},
    {"BeyondTheEndWithoutSayingWhere", {"HTTP/1.1 416 x"}, "", ""},
    {"NotBeyondTheEnd", {"HTTP/1.1 416 x", "Content-Range: bytes */3"}, "", "", kInternal},
    {"AfterAContinue",
     {"HTTP/1.1 100 x", "Content-Range: bytes 0-0/1", "HTTP/1.1 206 x",
      "Content-Range: bytes 2-5/10"},
     "2345",
     "2345"},
    {"ErrorPage", {"HTTP/1.1 404 x", "Content-Length: 4"}, "2345", "", absl::StatusCode::kNotFound},
    {"EndlessErrorPage", {"HTTP/1.1 500 x"}, std::string(1 << 20, 'x'), "", kUnavailable},
};

INSTANTIATE_TEST_SUITE_P(All, AnswerTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

TEST(AnswerLimitsTest, EveryStatusHasItsCode) {
  const std::pair<int, absl::StatusCode> kCodes[] = {
      {204, kInternal},
      {304, kInternal},
      {400, absl::StatusCode::kPermissionDenied},
      {401, absl::StatusCode::kPermissionDenied},
      {403, absl::StatusCode::kPermissionDenied},
      {404, absl::StatusCode::kNotFound},
      {405, kInternal},
      {407, absl::StatusCode::kPermissionDenied},
      {408, kUnavailable},
      {410, absl::StatusCode::kNotFound},
      {425, kUnavailable},
      {429, kUnavailable},
      {500, kUnavailable},
      {502, kUnavailable},
      {503, kUnavailable},
      {504, kUnavailable},
      {599, kUnavailable},
      {600, kInternal},
      {999, kInternal},
  };
  for (const auto& [status, code] : kCodes) {
    const std::string head = "HTTP/1.1 " + std::to_string(status) + " x";
    EXPECT_THAT(Judge({head}, "2345", 4), StatusIs(code, std::to_string(status)));
    Answer answer(0, 0);
    EXPECT_TRUE(answer.OnHeader(head));
    EXPECT_THAT(answer.Info(), StatusIs(code, std::to_string(status)));
  }
  EXPECT_THAT(Judge({"HTTP/1.1"}, "", 1), StatusIs(kInternal));
  EXPECT_THAT(Judge({}, "", 1), StatusIs(kInternal));
}

TEST(AnswerLimitsTest, ARangeFarIntoAWholeObjectIsRefused) {
  const uint64_t limit = 64 << 20;
  Answer near(limit, 4);
  EXPECT_TRUE(near.OnHeader("HTTP/1.1 200 OK"));
  EXPECT_TRUE(near.OnBody("x"));
  EXPECT_THAT(near.TakeBytes(), StatusIs(kInternal, "without a length"));
  Answer far(limit + 1, 4);
  EXPECT_TRUE(far.OnHeader("HTTP/1.1 200 OK"));
  std::string piece(32 << 10, 'x');
  EXPECT_TRUE(far.OnBody(piece));
  EXPECT_TRUE(far.OnBody(piece));
  EXPECT_FALSE(far.OnBody(piece));
  EXPECT_THAT(far.TakeBytes(), StatusIs(kInternal, "does not serve ranges"));
}

TEST(AnswerLimitsTest, WhatIsNotWantedEndsTheTransfer) {
  Answer whole(2, 4);
  EXPECT_TRUE(whole.OnHeader("HTTP/1.1 200 OK"));
  EXPECT_TRUE(whole.OnBody("01234"));
  EXPECT_FALSE(whole.complete());
  EXPECT_FALSE(whole.OnBody("56789"));
  EXPECT_TRUE(whole.complete());
  EXPECT_EQ(whole.TakeBytes().value(), "2345");
}

TEST(AnswerLimitsTest, AnEndlessHeadEndsTheTransfer) {
  Answer answer(0, 1);
  EXPECT_TRUE(answer.OnHeader("HTTP/1.1 200 OK\r\n"));
  int lines = 0;
  while (answer.OnHeader("X: " + std::string(1000, 'x') + "\r\n")) ASSERT_LT(++lines, 100);
  EXPECT_FALSE(answer.complete());
}

TEST(AnswerLimitsTest, TrailersChangeNothing) {
  Answer answer(2, 4);
  EXPECT_TRUE(answer.OnHeader("HTTP/1.1 206 x"));
  EXPECT_TRUE(answer.OnHeader("Content-Range: bytes 2-5/10"));
  EXPECT_TRUE(answer.OnBody("2345"));
  EXPECT_TRUE(answer.OnHeader("Content-Range: bytes 0-3/10"));
  EXPECT_EQ(answer.TakeBytes().value(), "2345");
}

TEST(AnswerLimitsTest, HeadTellsLengthAndTime) {
  Answer answer(0, 0);
  for (const char* line : {"HTTP/1.1 200 OK\r\n", "Content-Length: 12\r\n",
                           "Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT\r\n"}) {
    EXPECT_TRUE(answer.OnHeader(line));
  }
  EXPECT_EQ(answer.Info().value().size_bytes, 12u);
  EXPECT_EQ(answer.Info().value().modified_unix_seconds, 784903526);
  Answer vague(0, 0);
  EXPECT_TRUE(vague.OnHeader("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(vague.OnHeader("Content-Length: many\r\n"));
  EXPECT_THAT(vague.Info(), StatusIs(kInternal, "no length"));
}

// A server that says so of a whole object must not end us.
TEST(AnswerTest, AHeadAnswersWithABadRangeIsAnError) {
  Answer answer(0, 0);
  ASSERT_TRUE(answer.OnHeader("HTTP/1.1 416 Range Not Satisfiable\r\n"));
  ASSERT_TRUE(answer.OnHeader("Content-Range: bytes */0\r\n"));
  EXPECT_THAT(answer.Info(), StatusIs(kInternal, "416"));
}

TEST(ContentRangeTest, OnlyWhatTheRfcHasIsRead) {
  EXPECT_EQ(ParseContentRange("bytes 0-9/100").value().length, 10u);
  EXPECT_EQ(ParseContentRange("bytes 0-9/100").value().total, 100u);
  EXPECT_EQ(ParseContentRange("bytes */0").value().total, 0u);
  for (const char* text :
       {"", "bytes", "bytes ", "bytes 0-9", "bytes */*", "bytes -9/10", "bytes 0-/10",
        "bytes 9-0/10", "bytes 0-10/10", "bytes 0-9/10 ", "bytes +0-9/10", "octets 0-9/10",
        "bytes 0-18446744073709551615/*", "bytes 0-18446744073709551616/*", "bytes 0-9,20-29/*",
        "bytes 0-0x9/10"}) {
    EXPECT_THAT(ParseContentRange(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace slacker::https
