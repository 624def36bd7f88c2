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
