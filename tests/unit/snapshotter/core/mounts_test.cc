// The mounts that Prepare, View and Mounts answer.
#include "snapshotter/core/mounts.h"

#include <gmock/gmock.h>

#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;

class MountsTest : public CoreTest {
 protected:
  void ExpectMounts(const std::string& key, const absl::StatusOr<std::vector<MountSpec>>& answered,
                    const MountSpec& expected) {
    ASSERT_OK(answered);
    EXPECT_THAT(*answered, ElementsAre(expected));
    ASSERT_OK_AND_ASSIGN(const auto again, core_->Mounts(key));
    EXPECT_EQ(again, *answered);
  }
};

TEST_F(MountsTest, ActiveWithoutParentIsAWritableBind) {
  ExpectMounts("k", core_->Prepare("k", "", {}),
               {.type = "bind", .source = Path("1/fs"), .options = {"rw", "rbind"}});
  ASSERT_OK_AND_ASSIGN(const auto owner, files_.Stat(Path("1/fs")));
  EXPECT_EQ(owner.mode, 0755U);
}

TEST_F(MountsTest, ViewWithoutParentIsAReadOnlyBindOfAnEmptyDirectory) {
  ExpectMounts("k", core_->View("k", "", {}),
               {.type = "bind", .source = Path("1/fs"), .options = {"ro", "rbind"}});
}

TEST_F(MountsTest, ActiveOnAParentIsAnOverlay) {
  MakeCommitted("base");
  ExpectMounts("k", core_->Prepare("k", "base", {}),
               {.type = "overlay",
                .source = "overlay",
                .options = {"index=off", "workdir=" + Path("2/work"), "upperdir=" + Path("2/fs"),
                            "lowerdir=" + Path("1/fs")}});
}

const Labels kMapped = {{"containerd.io/snapshot/uidmapping", "0:100000:65536"},
                        {"containerd.io/snapshot/gidmapping", "5:7:1,0:200000:5"}};

TEST_F(MountsTest, AContainerWithMappedIdsHasTheMapsAndOwnsItsUpperDirectory) {
  MakeCommitted("base");
  ExpectMounts("k", core_->Prepare("k", "base", kMapped),
               {.type = "overlay",
                .source = "overlay",
                .options = {"uidmap=0:100000:65536", "gidmap=5:7:1,0:200000:5", "index=off",
                            "workdir=" + Path("2/work"), "upperdir=" + Path("2/fs"),
                            "lowerdir=" + Path("1/fs")}});
  ASSERT_OK_AND_ASSIGN(const auto owner, files_.Stat(Path("2/fs")));
  EXPECT_EQ(owner.uid, 100000U);
  EXPECT_EQ(owner.gid, 200000U);
  EXPECT_EQ(owner.mode, 0755U);
  ExpectMounts("view", core_->View("view", "base", kMapped),
               {.type = "bind",
                .source = Path("1/fs"),
                .options = {"uidmap=0:100000:65536", "gidmap=5:7:1,0:200000:5", "ro", "rbind"}});
  ExpectMounts("empty", core_->Prepare("empty", "", kMapped),
               {.type = "bind",
                .source = Path("4/fs"),
                .options = {"uidmap=0:100000:65536", "gidmap=5:7:1,0:200000:5", "rw", "rbind"}});
}

// As containerd does where it is not told that this can be had: files copied for other owners.
TEST_F(MountsTest, WhatContainerdHasGivenOtherOwnersItselfIsNotMappedAgain) {
  ASSERT_OK(core_->Prepare("sha256:x-remap", "", {}));
  ASSERT_OK(files_.SetOwner(Path("1/fs"), {.mode = 0755, .uid = 100000, .gid = 200000}));
  ASSERT_OK(core_->Commit("sha256:x", "sha256:x-remap", {}, ""));
  ExpectMounts("k", core_->Prepare("k", "sha256:x", kMapped),
               {.type = "overlay",
                .source = "overlay",
                .options = {"index=off", "workdir=" + Path("2/work"), "upperdir=" + Path("2/fs"),
                            "lowerdir=" + Path("1/fs")}});
  ASSERT_OK_AND_ASSIGN(const auto owner, files_.Stat(Path("2/fs")));
  EXPECT_EQ(owner.uid, 100000U);
}

// An image's manifest can carry these labels.
TEST_F(MountsTest, ALayerThatIsUnpackedIsTheSameForEverybody) {
  Labels labels = kMapped;
  labels["containerd.io/snapshot.ref"] = "sha256:not-published";
  ExpectMounts("k", core_->Prepare("k", "", labels),
               {.type = "bind", .source = Path("1/fs"), .options = {"rw", "rbind"}});
  ASSERT_OK_AND_ASSIGN(const auto owner, files_.Stat(Path("1/fs")));
  EXPECT_EQ(owner.uid, 0U);
}

TEST_F(MountsTest, MapsThatMakeNoSenseAreRefused) {
  MakeCommitted("base");
  const auto prepare = [this](const std::string& uids, const std::string& gids) {
    return core_->Prepare(
        "k", "base",
        {{"containerd.io/snapshot/uidmapping", uids}, {"containerd.io/snapshot/gidmapping", gids}});
  };
  const std::string good = "0:100000:65536";
  for (const char* bad : {"0", "0:1", "0:1:2:3", "a:1:2", "0:-1:2", "0: 1:2", "1:100000:65535",
                          "0:100000:0", "0:4294967295:1", "4294967295:0:1", "0:1:4294967296",
                          "0:100000:65536,", ",0:100000:65536"}) {
    EXPECT_THAT(prepare(bad, good), StatusIs(kInvalid)) << bad;
    EXPECT_THAT(prepare(good, bad), StatusIs(kInvalid)) << bad;
  }
  EXPECT_THAT(core_->Prepare("k", "base", {{"containerd.io/snapshot/uidmapping", good}}),
              StatusIs(kInvalid));
  EXPECT_OK(prepare(good, good));
}

TEST_F(MountsTest, ViewOfOneLayerIsAReadOnlyBind) {
  MakeCommitted("base");
  ExpectMounts("k", core_->View("k", "base", {}),
               {.type = "bind", .source = Path("1/fs"), .options = {"ro", "rbind"}});
}

TEST_F(MountsTest, ViewOfSeveralLayersIsAnOverlayWithoutUpper) {
  MakeCommitted("base");
  MakeCommitted("top", "base");
  ExpectMounts("k", core_->View("k", "top", {}),
               {.type = "overlay",
                .source = "overlay",
                .options = {"index=off", "lowerdir=" + Path("2/fs") + ":" + Path("1/fs")}});
}

TEST_F(MountsTest, RootAttributesComeFromTheParent) {
  ASSERT_OK(core_->Prepare("making", "", {}));
  ASSERT_OK(files_.RemoveTree(Path("1/fs")));
  ASSERT_OK(files_.MakeDirectory(Path("1/fs"), 01777, 5, 6));
  ASSERT_OK(core_->Commit("base", "making", {}, ""));
  ASSERT_OK(core_->Prepare("k", "base", {}));
  ASSERT_OK_AND_ASSIGN(const auto owner, files_.Stat(Path("2/fs")));
  EXPECT_EQ(owner.mode, 01777U);
  EXPECT_EQ(owner.uid, 5U);
  EXPECT_EQ(owner.gid, 6U);
}

TEST_F(MountsTest, OnARebasedSnapshotTheNewParentIsBelow) {
  MakeCommitted("base");
  ASSERT_OK(core_->Prepare("key", "", {}));
  ASSERT_OK(core_->Commit("top", "key", {}, "base"));
  ExpectMounts("k", core_->View("k", "top", {}),
               {.type = "overlay",
                .source = "overlay",
                .options = {"index=off", "lowerdir=" + Path("2/fs") + ":" + Path("1/fs")}});
}

// A root as long as the usual one: the list is longer than a page as it stands, and fits into one
// when containerd has changed into the common parent.
TEST(MountsForTest, A128LayerStackUnderALongRootIsAccepted) {
  const std::string root = "/var/lib/containerd/io.containerd.snapshotter.v1.slacker/snapshots/";
  MountPlan plan{
      .kind = Kind::kActive, .directory = root + "100128", .lowers = {}, .index_off = true};
  for (int i = 0; i < 128; ++i) plan.lowers.push_back(root + std::to_string(100000 + i) + "/fs");
  ASSERT_OK_AND_ASSIGN(const auto mounts, MountsFor(plan));
  EXPECT_EQ(mounts.front().options.size(), 4U);
}

TEST(MountsForTest, MoreLayersThanAMountCanNameAreInvalid) {
  MountPlan plan{
      .kind = Kind::kActive, .directory = "/r/snapshots/1", .lowers = {}, .index_off = false};
  for (int i = 0; i < 1000; ++i) plan.lowers.push_back("/r/snapshots/" + std::to_string(i) + "/fs");
  EXPECT_THAT(MountsFor(plan), StatusIs(kInvalid, "1000 layers"));
}

}  // namespace
}  // namespace slacker::testing
