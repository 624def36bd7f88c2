#include "tests/conformance/backend/backend_suite.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

TEST_P(BackendSuite, PutThenReadGivesTheBytesBack) {
  ASSERT_OK(backend().Put("packs/a", "0123456789"));
  EXPECT_EQ(backend().Read("packs/a", 0, 10).value(), "0123456789");
  EXPECT_EQ(backend().Read("packs/a", 3, 4).value(), "3456");
  EXPECT_EQ(backend().Read("packs/a", 3, 0).value(), "");
  ASSERT_OK_AND_ASSIGN(const ObjectInfo info, backend().Stat("packs/a"));
  EXPECT_EQ(info.size_bytes, 10u);
}

TEST_P(BackendSuite, ReadAcrossTheEndIsShort) {
  ASSERT_OK(backend().Put("a", "0123456789"));
  EXPECT_EQ(backend().Read("a", 8, 100).value(), "89");
  EXPECT_EQ(backend().Read("a", 10, 100).value(), "");
  EXPECT_EQ(backend().Read("a", uint64_t{1} << 40, 100).value(), "");
  EXPECT_EQ(backend().Read("a", UINT64_MAX, 100).value(), "");
}

TEST_P(BackendSuite, EmptyObjectIsAnObject) {
  ASSERT_OK(backend().Put("empty", ""));
  EXPECT_EQ(backend().Read("empty", 0, 5).value(), "");
  EXPECT_EQ(backend().Stat("empty").value().size_bytes, 0u);
}

TEST_P(BackendSuite, MissingObjectIsNotFound) {
  EXPECT_THAT(backend().Read("packs/none", 0, 1), StatusIs(kNotFound));
  EXPECT_THAT(backend().Read("packs/none", 0, 0), StatusIs(kNotFound));
  EXPECT_THAT(backend().ReadWhole("packs/none", 10), StatusIs(kNotFound));
  EXPECT_THAT(backend().Stat("packs/none"), StatusIs(kNotFound));
}

TEST_P(BackendSuite, DirectoryIsNoObject) {
  ASSERT_OK(backend().Put("packs/deep/a", "x"));
  EXPECT_THAT(backend().Read("packs/deep", 0, 1), StatusIs(kNotFound));
  EXPECT_THAT(backend().Stat("packs/deep"), StatusIs(kNotFound));
  EXPECT_THAT(backend().Read("packs/deep/a/b", 0, 1), StatusIs(kNotFound));
}

TEST_P(BackendSuite, ReadWholeKeepsItsLimit) {
  ASSERT_OK(backend().Put("a", "0123456789"));
  EXPECT_EQ(backend().ReadWhole("a", 10).value(), "0123456789");
  EXPECT_THAT(backend().ReadWhole("a", 9), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_P(BackendSuite, ReadWholeOfALargeObjectGivesEveryByte) {
  std::string large(20 << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 >> 7);
  ASSERT_OK(backend().Put("large", large));
  EXPECT_TRUE(backend().ReadWhole("large", large.size()).value() == large);
}

TEST_P(BackendSuite, OversizedReadIsInvalid) {
  ASSERT_OK(backend().Put("a", "x"));
  EXPECT_EQ(backend().Read("a", 0, 64 << 20).value(), "x");
  EXPECT_THAT(backend().Read("a", 0, (64 << 20) + 1), StatusIs(kInvalid));
}

TEST_P(BackendSuite, BadNamesAreInvalidEverywhere) {
  const std::string long_name(256, 'x');
  for (const std::string& name :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("."),
        std::string("../a"), std::string("a/../b"), std::string("a/.tmp-b"), std::string("a b"),
        std::string("a\0b", 3), std::string("\xff"), long_name}) {
    SCOPED_TRACE(name);
    EXPECT_THAT(backend().Read(name, 0, 1), StatusIs(kInvalid));
    EXPECT_THAT(backend().Stat(name), StatusIs(kInvalid));
    EXPECT_THAT(backend().Create(name), StatusIs(kInvalid));
    EXPECT_THAT(backend().Replace(name, "x"), StatusIs(kInvalid));
    EXPECT_THAT(backend().Remove(name), StatusIs(kInvalid));
  }
  EXPECT_THAT(backend().List("packs"), StatusIs(kInvalid));
  EXPECT_THAT(backend().List("../"), StatusIs(kInvalid));
  EXPECT_THAT(backend().List("/"), StatusIs(kInvalid));
}

TEST_P(BackendSuite, LongestNameWorks) {
  const std::string name = std::string(127, 'a') + "/" + std::string(127, 'b');
  ASSERT_OK(backend().Put(name, "x"));
  EXPECT_EQ(backend().Read(name, 0, 1).value(), "x");
}

TEST_P(BackendSuite, UncommittedObjectIsNotThere) {
  ASSERT_OK_AND_ASSIGN(auto writer, backend().Create("packs/a"));
  ASSERT_OK(writer->Append("half"));
  EXPECT_THAT(backend().Stat("packs/a"), StatusIs(kNotFound));
  EXPECT_THAT(backend().List("").value(), IsEmpty());
  writer.reset();
  EXPECT_THAT(backend().Read("packs/a", 0, 1), StatusIs(kNotFound));
  EXPECT_THAT(backend().List("").value(), IsEmpty());
}

TEST_P(BackendSuite, ObjectOfManyAppendsIsTheirConcatenation) {
  ASSERT_OK_AND_ASSIGN(auto writer, backend().Create("packs/a"));
  ASSERT_OK(writer->Append("one,"));
  ASSERT_OK(writer->Append(""));
  ASSERT_OK(writer->Append("two"));
  ASSERT_OK(writer->Commit());
  EXPECT_EQ(backend().ReadWhole("packs/a", 100).value(), "one,two");
}

TEST_P(BackendSuite, SecondCommitOfANameLeavesTheFirst) {
  ASSERT_OK(backend().Put("packs/a", "first"));
  ASSERT_OK(backend().Put("packs/a", "second"));
  EXPECT_EQ(backend().ReadWhole("packs/a", 100).value(), "first");
}

TEST_P(BackendSuite, ReplaceMakesAndReplaces) {
  ASSERT_OK(backend().Replace("locations/a", "first"));
  EXPECT_EQ(backend().ReadWhole("locations/a", 100).value(), "first");
  ASSERT_OK(backend().Replace("locations/a", "2nd"));
  EXPECT_EQ(backend().ReadWhole("locations/a", 100).value(), "2nd");
}

TEST_P(BackendSuite, ListIsSortedAndBelowThePrefixOnly) {
  for (const char* name :
       {"packs/b", "packs/a.idx", "packs/a", "packs/sub/x", "packsaround", "z"}) {
    ASSERT_OK(backend().Put(name, "x"));
  }
  EXPECT_THAT(backend().List("packs/").value(),
              ElementsAre("packs/a", "packs/a.idx", "packs/b", "packs/sub/x"));
  EXPECT_THAT(backend().List("packs/sub/").value(), ElementsAre("packs/sub/x"));
  EXPECT_THAT(backend().List("none/").value(), IsEmpty());
  EXPECT_THAT(backend().List("").value(),
              ElementsAre("packs/a", "packs/a.idx", "packs/b", "packs/sub/x", "packsaround", "z"));
}

TEST_P(BackendSuite, RemoveIsIdempotent) {
  ASSERT_OK(backend().Put("packs/a", "x"));
  EXPECT_OK(backend().Remove("packs/a"));
  EXPECT_THAT(backend().Stat("packs/a"), StatusIs(kNotFound));
  EXPECT_OK(backend().Remove("packs/a"));
  EXPECT_OK(backend().Remove("never/was"));
}

TEST_P(BackendSuite, RemovedNameCanBeUsedAgain) {
  ASSERT_OK(backend().Put("packs/a", "old"));
  ASSERT_OK(backend().Remove("packs/a"));
  ASSERT_OK(backend().Put("packs/a", "new"));
  EXPECT_EQ(backend().ReadWhole("packs/a", 100).value(), "new");
}

TEST_P(BackendSuite, HundredsOfReadsAreAnsweredOnceEach) {
  ASSERT_OK(backend().Put("a", "0123456789"));
  constexpr int kReads = 500;
  std::vector<std::promise<std::string>> answers(kReads);
  const auto here = std::this_thread::get_id();
  std::atomic<int> on_this_thread{0};
  for (int i = 0; i < kReads; ++i) {
    backend().ReadAsync("a", static_cast<uint64_t>(i % 10), 1, [&, i](auto bytes) {
      if (std::this_thread::get_id() == here) ++on_this_thread;
      answers[static_cast<size_t>(i)].set_value(bytes.value());
    });
  }
  for (int i = 0; i < kReads; ++i) {
    EXPECT_EQ(answers[static_cast<size_t>(i)].get_future().get(), std::to_string(i % 10));
  }
  EXPECT_EQ(on_this_thread, 0);
}

TEST_P(BackendSuite, CallbackMayReadAgain) {
  ASSERT_OK(backend().Put("a", "xy"));
  std::promise<std::string> answer;
  backend().ReadAsync("a", 0, 1, [&](auto first) {
    backend().ReadAsync("a", 1, 1, [&answer, first = first.value()](auto second) {
      answer.set_value(first + second.value());
    });
  });
  EXPECT_EQ(answer.get_future().get(), "xy");
}

TEST_P(BackendSuite, ManyWritersOfOneNameAllSucceed) {
  std::vector<std::thread> writers;
  std::atomic<int> failures{0};
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      if (!backend().Put("packs/same", "same content").ok()) ++failures;
      if (!backend()
               .Replace("locations/same", std::string(1000, static_cast<char>('a' + i)))
               .ok()) {
        ++failures;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(backend().ReadWhole("packs/same", 100).value(), "same content");
  const std::string replaced = backend().ReadWhole("locations/same", 1000).value();
  EXPECT_EQ(replaced, std::string(1000, replaced[0]));
  EXPECT_EQ(backend().List("").value().size(), 2u);
}

}  // namespace
}  // namespace slacker::testing
