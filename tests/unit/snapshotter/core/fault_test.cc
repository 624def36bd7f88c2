// Every step that touches the disk fails once, and each time the call leaves no trace.
#include <gmock/gmock.h>

#include <cerrno>

#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

class CoreFaultTest : public CoreTest {
 protected:
  // Runs `call` with its first, second, … operation failing, until it gets through without a
  // failure. Each failure must have the code `code` and change nothing.
  template <typename Call>
  void FailEachStep(int error, absl::StatusCode code, Call call) {
    constexpr int kMoreThanAnyCallHas = 50;
    for (int nth = 1; nth < kMoreThanAnyCallHas; ++nth) {
      const auto before = ListAll();
      const auto directories = files_.Directories();
      faulty_.FailCall(nth, error);
      const absl::Status status = call();
      const bool reached = faulty_.failed();
      faulty_.FailCall(0, 0);
      if (!reached) {
        EXPECT_OK(status);
        EXPECT_GT(nth, 1) << "no step was reached at all";
        return;
      }
      EXPECT_THAT(status, StatusIs(code)) << nth;
      EXPECT_EQ(ListAll(), before) << nth;
      EXPECT_EQ(files_.Directories(), directories) << nth;
    }
    FAIL() << "the call never got through";
  }
};

TEST_F(CoreFaultTest, PrepareOnAFullDiskIsResourceExhausted) {
  FailEachStep(ENOSPC, absl::StatusCode::kResourceExhausted,
               [this] { return core_->Prepare("k", "", {}).status(); });
}

TEST_F(CoreFaultTest, PrepareOnAParentLeavesNoTrace) {
  MakeCommitted("base");
  FailEachStep(EIO, absl::StatusCode::kDataLoss,
               [this] { return core_->Prepare("k", "base", {}).status(); });
}

TEST_F(CoreFaultTest, ViewOfNothingLeavesNoTrace) {
  FailEachStep(EROFS, absl::StatusCode::kPermissionDenied,
               [this] { return core_->View("k", "", {}).status(); });
}

TEST_F(CoreFaultTest, AStrayEexistNeverReadsAsAlreadyThere) {
  ASSERT_OK(files_.MakeDirectory(Path(".new-1"), 0700, 0, 0));
  EXPECT_THAT(core_->Prepare("k", "", {}), StatusIs(absl::StatusCode::kInternal));
  ASSERT_OK(files_.MakeDirectory(Path("2"), 0700, 0, 0));
  EXPECT_THAT(core_->Prepare("k", "", {}), StatusIs(absl::StatusCode::kInternal));
  ASSERT_OK(core_->Prepare("k", "", {}));
}

TEST_F(CoreFaultTest, AFailedCommitKeepsTheActive) {
  ASSERT_OK(core_->Prepare("k", "", {}));
  for (const auto& [nth, step] : {std::pair(1, "usage"), std::pair(2, "sync")}) {
    const auto before = ListAll();
    faulty_.FailCall(nth, EIO);
    EXPECT_THAT(core_->Commit("n", "k", {}, ""), StatusIs(absl::StatusCode::kDataLoss)) << step;
    EXPECT_TRUE(faulty_.failed()) << step;
    EXPECT_EQ(ListAll(), before) << step;
  }
}

// A mount below it, an open file of another file system: whatever keeps its directory.
TEST_F(CoreFaultTest, RemoveOfABusySnapshotSucceedsAndCleanupDeletesItLater) {
  ASSERT_OK(core_->Prepare("busy", "", {}));
  const auto directories = files_.Directories();
  faulty_.FailChanges(EBUSY);
  ASSERT_OK(core_->Remove("busy"));
  EXPECT_THAT(core_->Stat("busy"), StatusIs(kNotFound));
  EXPECT_THAT(core_->Cleanup(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(files_.Directories(), directories);
  faulty_.FailChanges(0);
  ASSERT_OK(core_->Prepare("busy", "", {})) << "the key is free";
  ASSERT_OK(core_->Remove("busy"));
  ASSERT_OK(core_->Cleanup());
  ASSERT_OK_AND_ASSIGN(const auto names, files_.List(dir_ / "snapshots"));
  EXPECT_TRUE(names.empty());
}

TEST_F(CoreFaultTest, WhatCleanupCannotDeleteItDeletesTheNextTime) {
  ASSERT_OK(core_->Prepare("a", "", {}));
  ASSERT_OK(core_->Prepare("b", "", {}));
  ASSERT_OK(core_->Remove("a"));
  ASSERT_OK(core_->Remove("b"));
  faulty_.FailCall(2, EBUSY);
  EXPECT_THAT(core_->Cleanup(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK_AND_ASSIGN(auto names, files_.List(dir_ / "snapshots"));
  EXPECT_EQ(names.size(), 1U);
  EXPECT_EQ(images_.collected(), 1);
  ASSERT_OK(core_->Cleanup());
  ASSERT_OK_AND_ASSIGN(names, files_.List(dir_ / "snapshots"));
  EXPECT_TRUE(names.empty());
}

}  // namespace
}  // namespace slacker::testing
