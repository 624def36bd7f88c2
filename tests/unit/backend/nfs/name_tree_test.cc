#include "backend/nfs/name_tree.h"

#include <gmock/gmock.h>

#include <optional>

#include "tests/support/status_matchers.h"
#include "tests/unit/backend/nfs/fake_protocol.h"

namespace slacker::nfs {
namespace {

class NameTreeTest : public ::testing::Test {
 protected:
  explicit NameTreeTest(std::chrono::nanoseconds fresh = NameTree::kFresh)
      : tree_(&protocol_, {}, fresh) {
    protocol_.files = {{"packs/a", "x"}, {"packs/b", "y"}, {"z", "z"}};
  }

  // Unset while the answer is held back.
  using Answer = std::shared_ptr<std::optional<absl::StatusOr<Found>>>;
  Answer Find(const std::string& name) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<Found>>>();
    tree_.Find(name, [answer](absl::StatusOr<Found> found) { *answer = std::move(found); });
    return answer;
  }

  FakeProtocol protocol_;
  NameTree tree_;
};

TEST_F(NameTreeTest, NameIsLookedUpOnceWhileItIsFresh) {
  ASSERT_OK(**Find("packs/a"));
  EXPECT_EQ(protocol_.lookups, 2);
  ASSERT_OK(**Find("packs/a"));
  EXPECT_EQ(protocol_.lookups, 2);
  ASSERT_OK(**Find("packs/b"));  // its directory is known
  EXPECT_EQ(protocol_.lookups, 3);
}

TEST_F(NameTreeTest, CallersAtOnceShareOneQuestion) {
  ASSERT_OK(**Find(""));
  protocol_.holding = true;
  const Answer first = Find("z");
  const Answer second = Find("z");
  EXPECT_EQ(protocol_.lookups, 1);
  protocol_.Release();
  EXPECT_OK(**first);
  EXPECT_OK(**second);
}

TEST_F(NameTreeTest, MissingNameIsNotRemembered) {
  EXPECT_EQ(ErrnoOf((*Find("packs/none"))->status()), ENOENT);
  protocol_.files["packs/none"] = "now";
  EXPECT_OK(**Find("packs/none"));
}

TEST_F(NameTreeTest, NothingIsBelowAFile) {
  EXPECT_EQ(ErrnoOf((*Find("z/below"))->status()), ENOTDIR);
}

TEST_F(NameTreeTest, ForgottenNameIsLookedUpAgain) {
  ASSERT_OK(**Find("z"));
  tree_.Forget("z");
  ASSERT_OK(**Find("z"));
  EXPECT_EQ(protocol_.lookups, 2);
}

TEST_F(NameTreeTest, QuestionOfBeforeForgetDoesNotAnswerThoseOfAfter) {
  ASSERT_OK(**Find(""));
  protocol_.holding = true;
  const Answer before = Find("z");
  protocol_.files["z"] = "longer";  // replaced through this backend, which then forgets the name
  tree_.Forget("z");
  const Answer after = Find("z");
  EXPECT_EQ(protocol_.held(), 2u);
  protocol_.Release();
  EXPECT_EQ((**before)->node.attributes.size_bytes, 1u);
  EXPECT_EQ((**after)->node.attributes.size_bytes, 6u);
  EXPECT_EQ((**Find("z"))->node.attributes.size_bytes, 6u) << "the old answer was kept";
}

TEST_F(NameTreeTest, StaleDirectoryIsEnteredAnew) {
  ASSERT_OK(**Find("packs/a"));
  ++protocol_.generation;
  EXPECT_EQ(ErrnoOf((*Find("packs/b"))->status()), ESTALE);
  EXPECT_OK(**Find("packs/b"));
  EXPECT_EQ((**Find("packs/a"))->node.handle, "1:packs/a");
}

TEST_F(NameTreeTest, NewLifeBeginsOnceForAllWhoSawTheOldOneEnd) {
  ASSERT_OK(**Find("z"));
  const uint64_t life = (**Find("z"))->life;
  tree_.StartNewLife(life);
  ASSERT_OK(**Find("z"));
  tree_.StartNewLife(life);  // by another one, late
  const int lookups = protocol_.lookups;
  ASSERT_OK(**Find("z"));
  EXPECT_EQ(protocol_.lookups, lookups);
}

// Whose handles are never fresh.
class OldNameTreeTest : public NameTreeTest {
 protected:
  OldNameTreeTest() : NameTreeTest(std::chrono::seconds(0)) {}
};

TEST_F(OldNameTreeTest, KnownDirectoriesCostNoRoundTrip) {
  protocol_.files["grants/1/public/key"] = "x";
  ASSERT_OK(**Find("grants/1/public/key"));
  protocol_.holding = true;
  const Answer again = Find("grants/1/public/key");
  EXPECT_EQ(protocol_.held(), 4u) << "three directories and the name, at once";
  protocol_.Release();
  EXPECT_OK(**again);
}

TEST_F(OldNameTreeTest, DirectoryIsLookedUpAgainWithEachUse) {
  ASSERT_OK(**Find("packs/a"));
  EXPECT_EQ(protocol_.lookups, 2);
  ASSERT_OK(**Find("packs/b"));
  EXPECT_EQ(protocol_.lookups, 4);
}

TEST_F(OldNameTreeTest, WhatAReplacedDirectoryHadDoesNotCount) {
  ASSERT_OK(**Find("packs/a"));
  protocol_.ReplaceDirectory("packs", {{"a", "longer"}});
  EXPECT_EQ((**Find("packs/a"))->node.attributes.size_bytes, 6u);
  EXPECT_EQ(ErrnoOf((*Find("packs/b"))->status()), ENOENT) << "only the old directory has it";
}

TEST_F(OldNameTreeTest, WhatAReplacedDirectoryHadNotIsFoundInTheNewOne) {
  ASSERT_OK(**Find("packs/a"));
  protocol_.ReplaceDirectory("packs", {{"a", "x"}, {"c", "new"}});
  EXPECT_OK(**Find("packs/c"));
}

TEST_F(OldNameTreeTest, RemovedDirectoryHasNothingInIt) {
  ASSERT_OK(**Find("packs/a"));
  protocol_.ReplaceDirectory("packs", {});
  EXPECT_EQ(ErrnoOf((*Find("packs/a"))->status()), ENOENT);
}

TEST_F(OldNameTreeTest, DirectoryThatHasBecomeAFileHasNothingInIt) {
  ASSERT_OK(**Find("packs/a"));
  protocol_.ReplaceDirectory("packs", {});
  protocol_.files["packs"] = "a file";
  EXPECT_EQ(ErrnoOf((*Find("packs/a"))->status()), ENOTDIR);
}

TEST_F(OldNameTreeTest, HandlesOfAnotherServerAreNotUsed) {
  ASSERT_OK(**Find("packs/a"));
  ++protocol_.generation;
  EXPECT_EQ(ErrnoOf((*Find("packs/a"))->status()), ESTALE) << "the root is known for ever";
  EXPECT_EQ((**Find("packs/a"))->node.handle, "1:packs/a");
}

TEST_F(NameTreeTest, HandlesAreBounded) {
  for (size_t i = 0; i <= NameTree::kMaxNodes; ++i) protocol_.files["f" + std::to_string(i)] = "";
  ASSERT_OK(**Find("z"));
  for (size_t i = 0; i <= NameTree::kMaxNodes; ++i) ASSERT_OK(**Find("f" + std::to_string(i)));
  const int lookups = protocol_.lookups;
  ASSERT_OK(**Find("z"));  // the least recently used
  EXPECT_EQ(protocol_.lookups, lookups + 1);
}

}  // namespace
}  // namespace slacker::nfs
