#include "tests/conformance/backend/backend_suite.h"

#include <gmock/gmock.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/status_matchers.h"

namespace slacker::testing {

std::vector<std::string> BadNames() {
  return {std::string(), "/a",
          "a/",          "a//b",
          ".",           "../a",
          "a/../b",      "a/.tmp-b",
          "a b",         std::string("a\0b", 3),
          "\xff",        std::string(256, 'x')};
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

TEST_P(BackendSuite, BadNamesAreInvalid) {
  for (const std::string& name : BadNames()) {
    SCOPED_TRACE(name);
    EXPECT_THAT(backend().Create(name), StatusIs(kInvalid));
    EXPECT_THAT(backend().Replace(name, "x"), StatusIs(kInvalid));
    EXPECT_THAT(backend().Remove(name), StatusIs(kInvalid));
    EXPECT_THAT(backend().Move(name, "packs/a"), StatusIs(kInvalid));
    EXPECT_THAT(backend().Move("packs/a", name), StatusIs(kInvalid));
  }
  EXPECT_THAT(backend().List("packs"), StatusIs(kInvalid));
  EXPECT_THAT(backend().List("../"), StatusIs(kInvalid));
  EXPECT_THAT(backend().List("/"), StatusIs(kInvalid));
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

TEST_P(BackendSuite, MovedObjectHasItsContentAndTimeUnderTheOtherNameOnly) {
  ASSERT_OK(backend().Put("packs/a", "content"));
  ASSERT_OK_AND_ASSIGN(const ObjectInfo before, backend().Stat("packs/a"));
  ASSERT_OK(backend().Move("packs/a", "removed/deep/a"));
  EXPECT_THAT(backend().List("").value(), ElementsAre("removed/deep/a"));
  EXPECT_THAT(backend().Stat("packs/a"), StatusIs(kNotFound));
  EXPECT_THAT(backend().Read("packs/a", 0, 1), StatusIs(kNotFound));
  EXPECT_EQ(backend().ReadWhole("removed/deep/a", 100).value(), "content");
  ASSERT_OK_AND_ASSIGN(const ObjectInfo after, backend().Stat("removed/deep/a"));
  EXPECT_EQ(after.modified_unix_seconds, before.modified_unix_seconds);
}

TEST_P(BackendSuite, MoveTakesTheNameFromWhatHadIt) {
  ASSERT_OK(backend().Put("packs/a", "new"));
  ASSERT_OK(backend().Put("packs/b", "old, and longer"));
  ASSERT_OK(backend().Move("packs/a", "packs/b"));
  EXPECT_THAT(backend().List("").value(), ElementsAre("packs/b"));
  EXPECT_EQ(backend().ReadWhole("packs/b", 100).value(), "new");
}

TEST_P(BackendSuite, MoveOfNothingIsNotFoundAndLeavesTheOtherName) {
  ASSERT_OK(backend().Put("packs/b", "old"));
  EXPECT_THAT(backend().Move("packs/a", "packs/b"), StatusIs(kNotFound));
  EXPECT_THAT(backend().Move("nowhere/a", "packs/b"), StatusIs(kNotFound));
  EXPECT_EQ(backend().ReadWhole("packs/b", 100).value(), "old");
}

// Two maintainers at once: one has it, the other one is told so.
TEST_P(BackendSuite, OfManyMovesOfOneObjectOneSucceeds) {
  constexpr int kMovers = 8;
  ASSERT_OK(backend().Put("packs/a", "content"));
  std::atomic<int> moved = 0;
  std::atomic<int> missed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kMovers; ++i) {
    threads.emplace_back([&, i] {
      const absl::Status status = backend().Move("packs/a", "removed/" + std::to_string(i));
      moved += status.ok() ? 1 : 0;
      missed += absl::IsNotFound(status) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(moved, 1);
  EXPECT_EQ(missed, kMovers - 1);
  ASSERT_OK_AND_ASSIGN(const auto names, backend().List(""));
  ASSERT_EQ(names.size(), 1u);
  EXPECT_EQ(backend().ReadWhole(names[0], 100).value(), "content");
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
