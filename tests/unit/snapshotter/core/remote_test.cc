// Prepare with a reference to a published chain, and what stands on remote snapshots.
#include <gmock/gmock.h>

#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class RemoteTest : public CoreTest {
 protected:
  Labels RefTo(const Digest& chain) { return {{std::string(kRefLabel), chain.ToString()}}; }
  const Digest chain_ = Sha256::Of(std::string_view("a"));
  const Digest other_ = Sha256::Of(std::string_view("b"));
};

TEST_F(RemoteTest, APublishedChainIsCommittedListedAndLeavesNothingActive) {
  images_.Publish(chain_);
  Labels labels = RefTo(chain_);
  labels["containerd.io/snapshot/cri.image-ref"] = "x";
  EXPECT_THAT(core_->Prepare("extract", "", labels), StatusIs(kExists));
  const auto all = ListAll();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].kind, Kind::kCommitted);
  EXPECT_EQ(all[0].parent, "");
  EXPECT_EQ(all[0].labels, labels);
  EXPECT_EQ(all[0].created_nanos, all[0].updated_nanos);
  EXPECT_THAT(core_->Stat("extract"), StatusIs(kNotFound));
  EXPECT_EQ(images_.pins(), 0);
  ASSERT_EQ(decisions_.size(), 1U);
  EXPECT_TRUE(decisions_[0].remote);
  EXPECT_EQ(decisions_[0].reason, "published");
}

TEST_F(RemoteTest, TheSameReferenceOnTheSameParentIsOneSnapshot) {
  const std::string name = MakeRemote(chain_);
  EXPECT_THAT(core_->Prepare("again", "", RefTo(chain_)), StatusIs(kExists));
  EXPECT_EQ(ListAll().size(), 1U);
  EXPECT_EQ(images_.ensured(), 1);
  ASSERT_OK(core_->Stat(name));
}

TEST_F(RemoteTest, TheSameReferenceOnAnotherParentIsAnotherSnapshot) {
  MakeCommitted("unpacked");
  const std::string first = MakeRemote(chain_);
  const std::string second = MakeRemote(chain_, "unpacked");
  EXPECT_NE(first, second);
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo info, core_->Stat(second));
  EXPECT_EQ(info.parent, "unpacked");
}

TEST_F(RemoteTest, AnInventedNameNeverCollides) {
  ASSERT_OK(core_->Prepare("remote/2", "", {}));
  EXPECT_EQ(MakeRemote(chain_), "remote/2+");
}

TEST_F(RemoteTest, ATakenKeyIsACollisionEvenWhenTheChainIsPublished) {
  images_.Publish(chain_);
  ASSERT_OK(core_->Prepare("extract", "", {}));
  EXPECT_THAT(core_->Prepare("extract", "", RefTo(chain_)), StatusIs(kExists));
  EXPECT_EQ(images_.ensured(), 0);
  EXPECT_EQ(ListAll().size(), 1U);
}

TEST_F(RemoteTest, ErrorsOfTheParentComeBeforeTheStore) {
  images_.Publish(chain_);
  ASSERT_OK(core_->Prepare("active", "", {}));
  EXPECT_THAT(core_->Prepare("k", "missing", RefTo(chain_)), StatusIs(kNotFound));
  EXPECT_THAT(core_->Prepare("k", "active", RefTo(chain_)), StatusIs(kInvalid));
  EXPECT_EQ(images_.ensured(), 0);
}

TEST_F(RemoteTest, WhateverTheStoreAnswersThePullGoesOn) {
  const std::vector<std::pair<absl::Status, std::string>> cases = {
      {NotFound("x"), "ordinary: not published"},
      {Unavailable("x"), "ordinary: store did not answer"},
      {DeadlineExceeded("x"), "ordinary: store did not answer"},
      {DataLoss("x"), "ordinary: damaged in the store"},
      {FailedPrecondition("x"), "ordinary: not signed by a trusted key"},
      {PermissionDenied("x"), "ordinary: store refused"},
      {absl::UnauthenticatedError("x"), "ordinary: private"},
      {Internal("x"), "ordinary: error"},
      {AlreadyExists("x"), "ordinary: error"},
  };
  int number = 0;
  for (const auto& [status, reason] : cases) {
    images_.FailEnsure(status);
    const std::string key = std::to_string(number++);
    ASSERT_OK(core_->Prepare(key, "", RefTo(chain_))) << status;
    EXPECT_EQ(decisions_.back().reason, reason);
    EXPECT_EQ(decisions_.back().detail, "x");
    EXPECT_FALSE(decisions_.back().remote);
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
    ASSERT_OK_AND_ASSIGN(const auto row, SnapshotTable::Find(txn, key));
    EXPECT_EQ(row->reason, reason);
  }
  EXPECT_EQ(decisions_.size(), cases.size());
}

TEST_F(RemoteTest, WhoMayNotHaveAnImageThatIsHereTakesTheOrdinaryPath) {
  MakeRemote(chain_);
  images_.FailAllowed(absl::UnauthenticatedError("x"));
  ASSERT_OK(core_->Prepare("k", "", RefTo(chain_)));
  EXPECT_EQ(decisions_.back().reason, "ordinary: private");
  images_.FailAllowed(absl::OkStatus());
  EXPECT_THAT(core_->Prepare("k2", "", RefTo(chain_)), StatusIs(kExists));
}

// containerd takes read-only mounts of an extraction for content that is there.
TEST_F(RemoteTest, AnExtractionThatGoesOnIsWritable) {
  MakeCommitted("base");
  ASSERT_OK_AND_ASSIGN(const auto first, core_->Prepare("first", "", RefTo(chain_)));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_THAT(first[0].options, ElementsAre("rw", "rbind"));
  ASSERT_OK_AND_ASSIGN(const auto next, core_->Prepare("next", "base", RefTo(other_)));
  ASSERT_EQ(next.size(), 1U);
  EXPECT_THAT(next[0].options, Contains("upperdir=" + Path("3/fs")));
  EXPECT_THAT(next[0].options, Not(Contains("ro")));
}

TEST_F(RemoteTest, AReferenceThatIsNoChainIdIsOrdinary) {
  ASSERT_OK(core_->Prepare("k", "", {{std::string(kRefLabel), "../sha256:x"}}));
  EXPECT_EQ(decisions_.back().reason, "ordinary: not a chain ID");
  EXPECT_EQ(images_.ensured(), 0);
}

TEST_F(RemoteTest, ALabelOnAnOrdinarySnapshotDoesNotMakeItRemote) {
  MakeCommitted("forged", "", {{"x", "y"}});
  ASSERT_OK(core_->Update("forged", RefTo(chain_), {}));
  ASSERT_OK(core_->Prepare("k", "", RefTo(chain_)));
  EXPECT_EQ(decisions_.back().reason, "ordinary: not published");
}

TEST_F(RemoteTest, TheVerifiedSnapshotIsListedBeforeOthersWithItsLabel) {
  MakeCommitted("forged");
  ASSERT_OK(core_->Update("forged", RefTo(chain_), {}));
  images_.Publish(chain_);
  EXPECT_THAT(core_->Prepare("k", "", RefTo(chain_)), StatusIs(kExists));
  const auto found = ListAll({"labels.\"containerd.io/snapshot.ref\"==" + chain_.ToString()});
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "remote/2");
}

TEST_F(RemoteTest, ARelabelledRemoteSnapshotIsNotTakenForTheOldReference) {
  const std::string name = MakeRemote(chain_);
  ASSERT_OK(core_->Update(name, {}, {}));
  EXPECT_THAT(core_->Prepare("k", "", RefTo(chain_)), StatusIs(kExists));
  EXPECT_EQ(ListAll().size(), 2U);
  ASSERT_OK(core_->Update(name, RefTo(other_), {}));
  ASSERT_OK(core_->Prepare("k2", "", RefTo(other_)));
  EXPECT_EQ(decisions_.back().reason, "ordinary: not published");
}

TEST_F(RemoteTest, AViewNeverAsksTheStore) {
  images_.Publish(chain_);
  ASSERT_OK(core_->View("k", "", RefTo(chain_)));
  EXPECT_EQ(images_.ensured(), 0);
}

TEST_F(RemoteTest, LowersEndAtTheTopmostRemoteSnapshot) {
  MakeCommitted("bottom");
  const std::string lower = MakeRemote(chain_, "bottom");
  const std::string upper = MakeRemote(other_, lower);
  ASSERT_OK(files_.MakeDirectory(Path("i1/fs"), 0755, 0, 0));
  MakeCommitted("ordinary", upper);
  ASSERT_OK_AND_ASSIGN(const auto mounts, core_->View("v", "ordinary", {}));
  ASSERT_EQ(mounts.size(), 1U);
  EXPECT_THAT(mounts[0].options,
              ElementsAre("index=off", "lowerdir=" + Path("4/fs") + ":" + Path("i1/fs")));
  ASSERT_OK_AND_ASSIGN(const auto view, core_->View("v2", upper, {}));
  EXPECT_EQ(view[0].type, "bind");
  EXPECT_EQ(view[0].source, Path("i1/fs"));
  EXPECT_THAT(view[0].options, ElementsAre("ro", "rbind"));
}

TEST_F(RemoteTest, AnImageThatCannotBeAttachedLeavesNoTrace) {
  const std::string name = MakeRemote(chain_);
  const auto before = ListAll();
  const auto directories = files_.Directories();
  for (const absl::Status& status :
       {Unavailable("x"), NotFound("x"), AlreadyExists("x"), FailedPrecondition("x"), DataLoss("x"),
        Internal("x"), ResourceExhausted("x")}) {
    images_.FailAttach(status);
    EXPECT_THAT(core_->Prepare("k", name, {}), StatusIs(absl::StatusCode::kUnavailable, "x"));
    EXPECT_THAT(core_->View("k", name, {}), StatusIs(absl::StatusCode::kUnavailable, "x"));
  }
  EXPECT_EQ(ListAll(), before);
  EXPECT_EQ(files_.Directories(), directories);
}

TEST_F(RemoteTest, MountsAttachAgainAfterARestart) {
  const std::string name = MakeRemote(chain_);
  ASSERT_OK(files_.MakeDirectory(Path("i1/fs"), 0755, 0, 0));
  ASSERT_OK_AND_ASSIGN(const auto mounts, core_->Prepare("k", name, {}));
  Reopen();
  const int before = images_.attached();
  ASSERT_OK_AND_ASSIGN(const auto again, core_->Mounts("k"));
  EXPECT_EQ(again, mounts);
  EXPECT_EQ(images_.attached(), before + 1);
  images_.FailAttach(Unavailable("x"));
  EXPECT_THAT(core_->Mounts("k"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(RemoteTest, UsageOfARemoteSnapshotIsTheImagesAndNeverAnError) {
  const std::string name = MakeRemote(chain_);
  images_.SetUsage(SnapshotUsage{.size_bytes = 7, .inodes = 3});
  ASSERT_OK_AND_ASSIGN(SnapshotUsage usage, core_->Usage(name));
  EXPECT_EQ(usage.size_bytes, 7);
  images_.SetUsage(Internal("x"));
  ASSERT_OK_AND_ASSIGN(usage, core_->Usage(name));
  EXPECT_EQ(usage.size_bytes, 0);
}

TEST_F(RemoteTest, ARemovedRemoteSnapshotIsCollectedWithItsImage) {
  const std::string name = MakeRemote(chain_);
  ASSERT_OK(core_->Remove(name));
  EXPECT_THAT(ListAll(), IsEmpty());
  ASSERT_OK(core_->Cleanup());
  EXPECT_EQ(images_.collected(), 1);
}

}  // namespace
}  // namespace slacker::testing
