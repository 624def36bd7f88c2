// What calls cost: which files and how much of the store they touch. containerd calls Commit and
// Update inside its own write transaction, and Stat for every snapshot every ten seconds.
#include <gmock/gmock.h>

#include <cerrno>

#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CostTest : public CoreTest {
 protected:
  CostTest() {
    MakeCommitted("base");
    remote_ = MakeRemote(chain_, "base");
    EXPECT_OK(files_.MakeDirectory(Path("i1/fs"), 0755, 0, 0));
    EXPECT_OK(core_->Prepare("on a layer", "base", {}));
    EXPECT_OK(core_->Prepare("on an image", remote_, {}));
    EXPECT_OK(core_->View("view", remote_, {}));
    faulty_.TakeCalls();
    asked_ = images_.asked();
  }

  std::string DirectoryOf(const std::string& key) {
    auto txn = db_->Read();
    EXPECT_OK(txn);
    const auto row = SnapshotTable::Find(*txn, key);
    EXPECT_OK(row);
    return Path(std::to_string((*row)->id) + "/fs");
  }

  const Digest chain_ = Sha256::Of(std::string_view("a"));
  std::string remote_;
  int asked_ = 0;
};

TEST_F(CostTest, CommitAndUpdateCopyNothingAndAskNoStore) {
  images_.FailEnsure(Internal("x"));
  images_.FailAttach(Internal("x"));
  const Labels labels = {{std::string(kRefLabel), chain_.ToString()}};
  for (const char* key : {"on a layer", "on an image"}) {
    const std::string own = DirectoryOf(key);
    const std::string name = std::string("committed ") + key;
    ASSERT_OK(core_->Commit(name, key, labels, ""));
    EXPECT_THAT(faulty_.TakeCalls(), ElementsAre("usage " + own, "fsync " + own));
    ASSERT_OK(core_->Update(name, {{"l", "v"}}, {}));
    EXPECT_THAT(faulty_.TakeCalls(), IsEmpty());
  }
  EXPECT_EQ(images_.asked(), asked_);
}

TEST_F(CostTest, WhatIsCommittedIsSyncedInOneCall) {
  const std::string own = DirectoryOf("on a layer");
  files_.SetUsage(own, {.size_bytes = 1 << 20, .inodes = 1000});
  ASSERT_OK(core_->Commit("committed", "on a layer", {}, ""));
  EXPECT_THAT(faulty_.TakeCalls(), ElementsAre("usage " + own, "syncfs " + own));
}

TEST_F(CostTest, WithoutSyncCommitsOnlyMeasures) {
  options_.sync_commits = false;
  Reopen();
  const std::string own = DirectoryOf("on a layer");
  files_.SetUsage(own, {.size_bytes = 1 << 20, .inodes = 1000});
  faulty_.TakeCalls();
  ASSERT_OK(core_->Commit("committed", "on a layer", {}, ""));
  EXPECT_THAT(faulty_.TakeCalls(), ElementsAre("usage " + own));
}

TEST_F(CostTest, StatTouchesNoFileSystemAndNoStore) {
  for (int i = 0; i < 100; ++i) {
    for (const std::string& key : {std::string("base"), remote_, std::string("on a layer"),
                                   std::string("on an image"), std::string("view")}) {
      ASSERT_OK(core_->Stat(key));
    }
  }
  EXPECT_THAT(faulty_.TakeCalls(), IsEmpty());
  EXPECT_EQ(images_.asked(), asked_);
}

TEST_F(CostTest, UsageOfAnActiveWalksItsOwnUpperDirectoryAlone) {
  for (const char* key : {"on a layer", "on an image"}) {
    ASSERT_OK(core_->Usage(key));
    EXPECT_THAT(faulty_.TakeCalls(), ElementsAre("usage " + DirectoryOf(key)));
  }
  EXPECT_EQ(images_.asked(), asked_);
}

TEST_F(CostTest, UsageOfACommittedOrAViewWalksNothing) {
  for (const std::string& key : {std::string("base"), remote_, std::string("view")}) {
    ASSERT_OK(core_->Usage(key));
  }
  EXPECT_THAT(faulty_.TakeCalls(), IsEmpty());
}

}  // namespace
}  // namespace slacker::testing
