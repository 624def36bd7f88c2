#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/backend/backend_suite.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

TEST_P(ReadBackendSuite, PutThenReadGivesTheBytesBack) {
  ASSERT_OK(backend().Put("packs/a", "0123456789"));
  EXPECT_EQ(reader().Read("packs/a", 0, 10).value(), "0123456789");
  EXPECT_EQ(reader().Read("packs/a", 3, 4).value(), "3456");
  EXPECT_EQ(reader().Read("packs/a", 3, 0).value(), "");
  ASSERT_OK_AND_ASSIGN(const ObjectInfo info, reader().Stat("packs/a"));
  EXPECT_EQ(info.size_bytes, 10u);
}

TEST_P(ReadBackendSuite, ReadAcrossTheEndIsShort) {
  ASSERT_OK(backend().Put("a", "0123456789"));
  EXPECT_EQ(reader().Read("a", 8, 100).value(), "89");
  EXPECT_EQ(reader().Read("a", 10, 100).value(), "");
  EXPECT_EQ(reader().Read("a", uint64_t{1} << 40, 100).value(), "");
  EXPECT_EQ(reader().Read("a", UINT64_MAX, 100).value(), "");
}

TEST_P(ReadBackendSuite, EmptyObjectIsAnObject) {
  ASSERT_OK(backend().Put("empty", ""));
  EXPECT_EQ(reader().Read("empty", 0, 5).value(), "");
  EXPECT_EQ(reader().Stat("empty").value().size_bytes, 0u);
}

TEST_P(ReadBackendSuite, MissingObjectIsNotFound) {
  EXPECT_THAT(reader().Read("packs/none", 0, 1), StatusIs(kNotFound));
  EXPECT_THAT(reader().Read("packs/none", 0, 0), StatusIs(kNotFound));
  EXPECT_THAT(reader().ReadWhole("packs/none", 10), StatusIs(kNotFound));
  EXPECT_THAT(reader().Stat("packs/none"), StatusIs(kNotFound));
}

TEST_P(ReadBackendSuite, DirectoryIsNoObject) {
  ASSERT_OK(backend().Put("packs/deep/a", "x"));
  EXPECT_THAT(reader().Read("packs/deep", 0, 1), StatusIs(kNotFound));
  EXPECT_THAT(reader().Stat("packs/deep"), StatusIs(kNotFound));
  EXPECT_THAT(reader().Read("packs/deep/a/b", 0, 1), StatusIs(kNotFound));
}

TEST_P(ReadBackendSuite, ReadWholeKeepsItsLimit) {
  ASSERT_OK(backend().Put("a", "0123456789"));
  EXPECT_EQ(reader().ReadWhole("a", 10).value(), "0123456789");
  EXPECT_THAT(reader().ReadWhole("a", 9), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_P(ReadBackendSuite, ReadWholeOfALargeObjectGivesEveryByte) {
  std::string large(20 << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 >> 7);
  ASSERT_OK(backend().Put("large", large));
  EXPECT_TRUE(reader().ReadWhole("large", large.size()).value() == large);
}

TEST_P(ReadBackendSuite, OversizedReadIsInvalid) {
  ASSERT_OK(backend().Put("a", "x"));
  EXPECT_EQ(reader().Read("a", 0, 64 << 20).value(), "x");
  EXPECT_THAT(reader().Read("a", 0, (64 << 20) + 1), StatusIs(kInvalid));
}

TEST_P(ReadBackendSuite, BadNamesAreInvalid) {
  for (const std::string& name : BadNames()) {
    SCOPED_TRACE(name);
    EXPECT_THAT(reader().Read(name, 0, 1), StatusIs(kInvalid));
    EXPECT_THAT(reader().Read(name, 0, 0), StatusIs(kInvalid));
    EXPECT_THAT(reader().Stat(name), StatusIs(kInvalid));
  }
}

TEST_P(ReadBackendSuite, LongestNameWorks) {
  const std::string name = std::string(127, 'a') + "/" + std::string(127, 'b');
  ASSERT_OK(backend().Put(name, "x"));
  EXPECT_EQ(reader().Read(name, 0, 1).value(), "x");
}

TEST_P(ReadBackendSuite, RemovedNameCanBeUsedAgain) {
  ASSERT_OK(backend().Put("packs/a", "old"));
  ASSERT_OK(backend().Remove("packs/a"));
  ASSERT_OK(backend().Put("packs/a", "new"));
  EXPECT_EQ(reader().ReadWhole("packs/a", 100).value(), "new");
}

TEST_P(ReadBackendSuite, HundredsOfReadsAreAnsweredOnceEach) {
  ASSERT_OK(backend().Put("a", "0123456789"));
  constexpr int kReads = 500;
  std::vector<std::promise<std::string>> answers(kReads);
  const auto here = std::this_thread::get_id();
  std::atomic<int> on_this_thread{0};
  for (int i = 0; i < kReads; ++i) {
    reader().ReadAsync("a", static_cast<uint64_t>(i % 10), 1, [&, i](auto bytes) {
      if (std::this_thread::get_id() == here) ++on_this_thread;
      answers[static_cast<size_t>(i)].set_value(bytes.value());
    });
  }
  for (int i = 0; i < kReads; ++i) {
    EXPECT_EQ(answers[static_cast<size_t>(i)].get_future().get(), std::to_string(i % 10));
  }
  EXPECT_EQ(on_this_thread, 0);
}

TEST_P(ReadBackendSuite, CallbackMayReadAgain) {
  ASSERT_OK(backend().Put("a", "xy"));
  std::promise<std::string> answer;
  reader().ReadAsync("a", 0, 1, [&](auto first) {
    reader().ReadAsync("a", 1, 1, [&answer, first = first.value()](auto second) {
      answer.set_value(first + second.value());
    });
  });
  EXPECT_EQ(answer.get_future().get(), "xy");
}

TEST_P(ReadBackendSuite, ReplaceMakesAndReplaces) {
  ASSERT_OK(backend().Replace("locations/a", "first"));
  EXPECT_EQ(reader().ReadWhole("locations/a", 100).value(), "first");
  ASSERT_OK(backend().Replace("locations/a", "2nd"));
  EXPECT_EQ(reader().ReadWhole("locations/a", 100).value(), "2nd");
}

}  // namespace
}  // namespace slacker::testing
