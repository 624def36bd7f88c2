// Keys, labels, times, usage: containerd's contract without the remote part and the codes.
#include <gmock/gmock.h>

#include "snapshotter/core/requests.h"
#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using SemanticsTest = CoreTest;

TEST_F(SemanticsTest, KeysAreOpaqueBytes) {
  const std::vector<std::string> keys = {"k8s.io/1/extract-1-a b sha256:00",
                                         "../../etc/passwd",
                                         "\"",
                                         "/",
                                         ".",
                                         "..",
                                         "snapshots",
                                         "\xff\xfe not UTF-8",
                                         std::string("a\0b", 3),
                                         std::string(kMaxKeyBytes, 'k'),
                                         "ümlaut"};
  for (const std::string& key : keys) {
    ASSERT_OK(core_->Prepare(key, "", {})) << key;
    ASSERT_OK_AND_ASSIGN(const SnapshotInfo info, core_->Stat(key));
    EXPECT_EQ(info.name, key);
  }
  for (const std::string& path : files_.Directories()) {
    EXPECT_EQ(path.find(".."), std::string::npos) << path;
  }
  for (const std::string& key : keys) EXPECT_OK(core_->Remove(key)) << key;
}

TEST_F(SemanticsTest, CommitReplacesLabelsAndTimesAndKeepsTheParent) {
  MakeCommitted("base");
  ASSERT_OK(core_->Prepare("key", "base", {{"old", "1"}}));
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo active, core_->Stat("key"));
  EXPECT_EQ(active.created_nanos, active.updated_nanos);
  EXPECT_EQ(active.created_nanos, clock_.WallNanos());
  clock_.Advance(std::chrono::nanoseconds(7));
  ASSERT_OK(core_->Commit("name", "key", {{"new", "2"}, {"empty", ""}}, ""));

  EXPECT_THAT(core_->Stat("key"), StatusIs(kNotFound));
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo info, core_->Stat("name"));
  const SnapshotInfo expected{.name = "name",
                              .parent = "base",
                              .kind = Kind::kCommitted,
                              .created_nanos = active.created_nanos + 7,
                              .updated_nanos = active.created_nanos + 7,
                              .labels = {{"new", "2"}}};
  EXPECT_EQ(info, expected);
}

TEST_F(SemanticsTest, CommitMayGiveAParentToASnapshotWithoutOne) {
  MakeCommitted("base");
  MakeCommitted("other");
  ASSERT_OK(core_->Prepare("active", "", {}));
  ASSERT_OK(core_->Prepare("key", "", {}));
  EXPECT_THAT(core_->Commit("n", "key", {}, "active"), StatusIs(kPrecondition));
  EXPECT_THAT(core_->Commit("n", "key", {}, "missing"), StatusIs(kNotFound));
  ASSERT_OK(core_->Commit("n", "key", {}, "base"));
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo info, core_->Stat("n"));
  EXPECT_EQ(info.parent, "base");
  EXPECT_THAT(core_->Remove("base"), StatusIs(kPrecondition));

  ASSERT_OK(core_->Prepare("second", "base", {}));
  EXPECT_THAT(core_->Commit("m", "second", {}, "other"), StatusIs(kInvalid));
  ASSERT_OK(core_->Commit("m", "second", {}, "base"));
}

TEST_F(SemanticsTest, AFailedCommitLeavesTheActiveUsable) {
  MakeCommitted("taken");
  ASSERT_OK_AND_ASSIGN(const auto mounts, core_->Prepare("key", "", {{"l", "v"}}));
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo before, core_->Stat("key"));
  EXPECT_THAT(core_->Commit("taken", "key", {}, ""), StatusIs(kExists));
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo after, core_->Stat("key"));
  EXPECT_EQ(after, before);
  ASSERT_OK_AND_ASSIGN(const auto again, core_->Mounts("key"));
  EXPECT_EQ(again, mounts);
  ASSERT_OK(core_->Commit("free", "key", {}, ""));
}

TEST_F(SemanticsTest, RemoveFreesTheKeyAtOnceAndCleanupTheDirectory) {
  ASSERT_OK(core_->Prepare("key", "", {}));
  const auto with_one = files_.Directories();
  ASSERT_OK(core_->Remove("key"));
  EXPECT_EQ(files_.Directories(), with_one);
  ASSERT_OK(core_->View("key", "", {}));
  ASSERT_OK(core_->Remove("key"));
  ASSERT_OK(core_->Prepare("key", "", {}));
  ASSERT_OK(core_->Cleanup());
  EXPECT_THAT(files_.Directories(), UnorderedElementsAre(Path("").substr(0, Path("").size() - 1),
                                                         Path("3"), Path("3/fs"), Path("3/work")));
  ASSERT_OK(core_->Cleanup());
  EXPECT_EQ(images_.collected(), 2);
}

TEST_F(SemanticsTest, UpdateFollowsTheMask) {
  MakeCommitted("name", "", {{"a", "1"}, {"b.c/d", "2"}});
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo before, core_->Stat("name"));
  clock_.Advance(std::chrono::nanoseconds(5));
  struct Case {
    Labels labels;
    std::vector<std::string> paths;
    Labels expected;
  };
  const std::vector<Case> cases = {
      {{{"b.c/d", "3"}, {"a", "9"}}, {"labels.b.c/d"}, {{"a", "1"}, {"b.c/d", "3"}}},
      {{{"x", "1"}}, {"labels.x", "labels.a"}, {{"b.c/d", "3"}, {"x", "1"}}},
      {{{"x", ""}}, {"labels.x"}, {{"b.c/d", "3"}}},
      {{{"y", "1"}, {"z", ""}}, {"labels"}, {{"y", "1"}}},
      {{{"all", "new"}}, {}, {{"all", "new"}}},
      {{}, {}, {}},
  };
  for (const Case& step : cases) {
    ASSERT_OK_AND_ASSIGN(const SnapshotInfo info, core_->Update("name", step.labels, {step.paths}));
    EXPECT_EQ(info.labels, step.expected);
    EXPECT_EQ(info.created_nanos, before.created_nanos);
    EXPECT_EQ(info.updated_nanos, before.updated_nanos + 5);
    ASSERT_OK_AND_ASSIGN(const SnapshotInfo stat, core_->Stat("name"));
    EXPECT_EQ(stat, info);
  }
  for (const char* path : {"parent", "kind", "name", "created", "labelsx", ""}) {
    EXPECT_THAT(core_->Update("name", {{"a", "b"}}, {{path}}), StatusIs(kInvalid)) << path;
  }
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo unchanged, core_->Stat("name"));
  EXPECT_THAT(unchanged.labels, IsEmpty());
}

TEST_F(SemanticsTest, UsageIsOwnWhileActiveFrozenAfterAndZeroForViews) {
  MakeCommitted("base");
  ASSERT_OK(core_->Prepare("key", "base", {}));
  files_.SetUsage(Path("2/fs"), {.size_bytes = 8192, .inodes = 2});
  ASSERT_OK_AND_ASSIGN(SnapshotUsage usage, core_->Usage("key"));
  EXPECT_EQ(usage.size_bytes, 8192);
  EXPECT_EQ(usage.inodes, 2);
  ASSERT_OK(core_->Commit("name", "key", {}, ""));
  files_.SetUsage(Path("2/fs"), {.size_bytes = 1, .inodes = 1});
  ASSERT_OK_AND_ASSIGN(usage, core_->Usage("name"));
  EXPECT_EQ(usage.size_bytes, 8192);
  EXPECT_EQ(usage.inodes, 2);
  ASSERT_OK(core_->View("view", "name", {}));
  ASSERT_OK_AND_ASSIGN(usage, core_->Usage("view"));
  EXPECT_EQ(usage.size_bytes, 0);
  EXPECT_EQ(usage.inodes, 0);
}

TEST_F(SemanticsTest, ARestartChangesNothing) {
  MakeCommitted("base", "", {{"l", "v"}});
  ASSERT_OK_AND_ASSIGN(const auto mounts, core_->Prepare("key", "base", {}));
  ASSERT_OK(core_->View("view", "base", {}));
  const auto before = ListAll();
  const auto directories = files_.Directories();
  Reopen();
  EXPECT_EQ(ListAll(), before);
  ASSERT_OK_AND_ASSIGN(const auto again, core_->Mounts("key"));
  EXPECT_EQ(again, mounts);
  ASSERT_OK(core_->Cleanup());
  EXPECT_EQ(files_.Directories(), directories);
}

TEST_F(SemanticsTest, ARestartCollectsLeftoversAndNothingElse) {
  ASSERT_OK(core_->Prepare("key", "", {}));
  for (const char* name : {".new-7", "9", "i3", "notes", "09"}) {
    ASSERT_OK(files_.MakeDirectory(Path(name), 0700, 0, 0));
  }
  Reopen();
  ASSERT_OK(core_->Cleanup());
  EXPECT_THAT(files_.Directories(),
              UnorderedElementsAre(Path("").substr(0, Path("").size() - 1), Path("1"), Path("1/fs"),
                                   Path("1/work"), Path("i3"), Path("notes"), Path("09")));
  ASSERT_OK(core_->Prepare("next", "", {}));
  EXPECT_THAT(files_.Directories(), ::testing::Contains(Path("10")));
}

TEST_F(SemanticsTest, ARootThatMountOptionsCannotNameIsRefused) {
  for (const char* root : {"relative", "/a:b", "/a,b", "/a\\b"}) {
    EXPECT_THAT(
        CoreSnapshotter::Open(db_.get(), &files_, &images_, &clock_,
                              {.root = root, .overlay_index_off = false, .on_decision = {}}),
        StatusIs(kInvalid))
        << root;
  }
}

TEST_F(SemanticsTest, MessagesEscapeAndShortenKeys) {
  EXPECT_THAT(core_->Stat("a\nb: conflict"), StatusIs(kNotFound, R"("a\nb: conflict")"));
  const absl::Status status = core_->Stat(std::string(5000, 'k')).status();
  EXPECT_LT(status.message().size(), 400U);
}

}  // namespace
}  // namespace slacker::testing
