#include "backend/nfs/read_operation.h"

#include <gmock/gmock.h>

#include <optional>

#include "tests/support/status_matchers.h"
#include "tests/unit/backend/nfs/fake_protocol.h"

namespace slacker::nfs {
namespace {

using testing::StatusIs;

class ReadOperationTest : public ::testing::Test {
 protected:
  ReadOperationTest() {
    for (int i = 0; content_.size() < 10'000; ++i) content_ += std::to_string(i) + ",";
    content_.resize(10'000);
    protocol_.files["packs/a"] = content_;
  }
  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) {
    std::optional<absl::StatusOr<std::string>> answer;
    ReadOperation::Start(&protocol_, &tree_, &limit_, "packs/a", offset, size,
                         [&answer](absl::StatusOr<std::string> bytes) {
                           EXPECT_FALSE(answer.has_value()) << "answered twice";
                           answer = std::move(bytes);
                         });
    protocol_.Release();
    return *std::move(answer);
  }

  std::string content_;
  FakeProtocol protocol_;
  NameTree tree_{&protocol_, {}};
  ReadLimit limit_;
};

TEST(ReadLimitTest, WhatIsTooMuchAtOnceBeginsInOrderWhenThereIsRoom) {
  constexpr uint64_t kThird = ReadLimit::kBytes / 3;
  ReadLimit limit;
  std::string begun;
  const auto begin = [&](char name, uint64_t bytes) {
    limit.Begin(bytes, [&begun, name] { begun += name; });
  };
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) begin(name, kThird);
  begin('f', 10 * ReadLimit::kBytes);
  begin('g', 1);
  EXPECT_EQ(begun, "abc");
  limit.End(kThird);
  EXPECT_EQ(begun, "abcd");
  for (int i = 0; i < 3; ++i) limit.End(kThird);
  EXPECT_EQ(begun, "abcde") << "the large one goes alone";
  limit.End(kThird);
  EXPECT_EQ(begun, "abcdef");
  limit.End(10 * ReadLimit::kBytes);
  EXPECT_EQ(begun, "abcdefg");
}

TEST_F(ReadOperationTest, EveryReadLeavesItsRoomToTheNext) {
  for (int i = 0; i < 5000; ++i) ASSERT_OK(Read(0, 10'000));
  protocol_.most_in_one_answer = 0;
  EXPECT_FALSE(Read(0, 100).ok());
  bool begun = false;
  limit_.Begin(ReadLimit::kBytes, [&begun] { begun = true; });
  EXPECT_TRUE(begun) << "nothing is under way";
}

TEST_F(ReadOperationTest, LargeReadGoesInPiecesAllAtOnce) {
  ASSERT_OK(Read(0, 1));
  protocol_.holding = true;
  std::string answer;
  ReadOperation::Start(&protocol_, &tree_, &limit_, "packs/a", 1, 9'998,
                       [&answer](const auto& bytes) { answer = bytes.value(); });
  EXPECT_EQ(protocol_.held(), 10u);
  protocol_.Release();
  EXPECT_EQ(answer, content_.substr(1, 9'998));
}

TEST_F(ReadOperationTest, ShortAnswersAreContinued) {
  protocol_.most_in_one_answer = 77;
  EXPECT_EQ(Read(0, 10'000).value(), content_);
  EXPECT_EQ(Read(123, 500).value(), content_.substr(123, 500));
  EXPECT_EQ(Read(9'900, 500).value(), content_.substr(9'900));
}

TEST_F(ReadOperationTest, EndOfTheObjectMakesTheAnswerShort) {
  EXPECT_EQ(Read(9'000, 5'000).value(), content_.substr(9'000));
  EXPECT_EQ(Read(10'000, 1).value(), "");
  EXPECT_EQ(Read(UINT64_MAX, 1).value(), "");
}

TEST_F(ReadOperationTest, ObjectCutShortUnderTheReadIsAnsweredAsFarAsItGoes) {
  protocol_.before_read = [this] { protocol_.files["packs/a"].resize(2'500); };
  EXPECT_EQ(Read(0, 10'000).value(), content_.substr(0, 2'500));
}

TEST_F(ReadOperationTest, AnswerOfNothingIsAnError) {
  protocol_.answers_nothing = true;
  EXPECT_THAT(Read(0, 10), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ReadOperationTest, StaleHandleIsLookedUpAgainAndAllIsReadAnew) {
  ASSERT_OK(Read(0, 1));
  const std::string other(10'000, 'o');
  int answers = 0;
  protocol_.before_read = [&] {
    if (++answers != 5) return;
    ++protocol_.generation;  // in the middle
    protocol_.files["packs/a"] = other;
  };
  EXPECT_EQ(Read(0, 10'000).value(), other);
}

TEST_F(ReadOperationTest, HandleThatStaysStaleIsUnavailable) {
  protocol_.before_read = [this] { ++protocol_.generation; };
  EXPECT_THAT(Read(0, 10), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ReadOperationTest, FileWithoutANameIsLookedUpAgain) {
  ASSERT_OK(Read(0, 1));
  protocol_.removed = "packs/a";
  const int lookups = protocol_.lookups;
  EXPECT_EQ(Read(0, 10).value(), content_.substr(0, 10));
  EXPECT_GT(protocol_.lookups, lookups);
}

}  // namespace
}  // namespace slacker::nfs
