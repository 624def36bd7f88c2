// Collections that claim what they remove, beside others, and beside publishers.
#include <functional>

#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using testing::FaultyBackend;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

class ClaimTest : public testing::UpkeepTest {
 protected:
  // All garbage, by a run that began now and is not heard of any more.
  void ClaimAll() {
    ASSERT_OK_AND_ASSIGN(const int64_t now, StoreNow(*store_));
    ASSERT_OK_AND_ASSIGN(auto trash, ListTrash(*store_));
    const std::string run = NewMaintenanceId(now);
    for (Condemned& condemned : trash) {
      ASSERT_OK_AND_ASSIGN(const bool claimed, Claim(*store_, run, &condemned));
      EXPECT_TRUE(claimed);
    }
  }
  void SetUp() override {
    ASSERT_OK(Publish("two", {base_, two_}));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Rm("one"));
    CondemnAllGarbage();
    store_->Advance(kDefaultGraceSeconds);
  }
  // Before the first Move of an object of this kind, or of several.
  void BeforeRemovalOf(std::string_view prefix, std::function<bool(std::string_view)> action) {
    store_->SetBeforeMove([=, this](std::string_view from, std::string_view to) {
      if (!from.starts_with(prefix) || !to.starts_with(kRemovedPrefix)) return false;
      store_->SetBeforeMove(nullptr);
      return action(from);
    });
  }
};

TEST_F(ClaimTest, WhatAnotherRunIsAboutToRemoveIsLeftToItForADay) {
  ClaimAll();
  const auto before = Names();
  store_->Advance(kDaySeconds - 1);
  EXPECT_EQ(Gc().removed.objects, 0u);
  EXPECT_EQ(Names(), before);
  store_->Advance(1);
  EXPECT_GT(Gc().removed.objects, 0u);
  EXPECT_THAT(Names("trash/"), IsEmpty());
  EXPECT_THAT(Names("removed/"), IsEmpty());
  EXPECT_THAT(Names("records/"), SizeIs(2));
  ExpectSound();
}

TEST_F(ClaimTest, ARunWithoutGraceTakesOverWhatAnotherOneWasAboutToRemove) {
  ClaimAll();
  (void)Gc(0);
  EXPECT_THAT(Names("trash/"), IsEmpty());
  EXPECT_THAT(Names("records/"), SizeIs(2));
  ExpectSound();
}

TEST_F(ClaimTest, PublishersDoNotRelyOnAPackThatIsClaimed) {
  ClaimAll();
  const auto packs = Names(std::string(kPacksPrefix));
  ASSERT_OK(Publish("one", {base_, one_}));
  EXPECT_THAT(Names(std::string(kPacksPrefix)), SizeIs(packs.size() + 2));
  ExpectSound();
}

TEST_F(ClaimTest, APackWhoseClaimAnotherRunHasTakenIsPutBack) {
  std::string taken;
  BeforeRemovalOf(kPacksPrefix, [&](std::string_view name) {
    taken = name;
    const auto trash = ListTrash(*store_);
    for (Condemned condemned : *trash) {
      if (condemned.name != name) continue;
      EXPECT_TRUE(*Claim(*store_, NewMaintenanceId(0), &condemned));
      EXPECT_OK(store_->Remove(condemned.mark));  // it has come into use
    }
    return false;
  });
  (void)Gc();
  EXPECT_OK(store_->Stat(taken).status()) << taken;
  EXPECT_THAT(Names("removed/"), IsEmpty());
}

TEST_F(ClaimTest, AfterARemovalThatFailedWhatHasComeIntoUseIsBroughtBackAllTheSame) {
  for (const std::string_view prefix : {kRecordsPrefix, kLocationsPrefix, kTarsPrefix}) {
    SCOPED_TRACE(prefix);
    BeforeRemovalOf(prefix, [&](std::string_view) {
      EXPECT_OK(Publish("one", {base_, one_}));
      return true;
    });
    EXPECT_THAT(CollectGarbage(*store_, {}), StatusIs(absl::StatusCode::kUnavailable));
    ExpectSound();
    // What it had claimed is taken over.
    store_->Advance(kDaySeconds);
    (void)Gc();
    ExpectSound();
    EXPECT_THAT(Names("trash/"), IsEmpty());
    ASSERT_OK(Rm("one"));
    CondemnAllGarbage();
    store_->Advance(kDefaultGraceSeconds);
  }
}

// A publisher has seen it before it went, and committed; the second look of the run has not come.
TEST_F(ClaimTest,
       WhatARunThatDiedRemovedOfAnImageThatHasBeenPublishedComesBackBeforeItsClaimsAreOld) {
  ClaimAll();
  const auto claims = Names(std::string(kTrashPrefix));
  ASSERT_OK(Publish("one", {base_, one_}));
  const Marks marks = Mark(*store_, {}).value();
  const auto names = Names();
  for (const std::string& name : names) {
    const ObjectId id = IdentifyObject(name);
    if (!IsCondemnable(id.kind) || !marks.Has(id)) continue;
    SCOPED_TRACE(name);
    ASSERT_OK(store_->Move(name, RemovedName(name, NewMaintenanceId(0))));
    EXPECT_EQ(Gc().restored, 1u);
    EXPECT_OK(store_->Stat(name).status());
    ExpectSound();
  }
  EXPECT_EQ(Names(std::string(kTrashPrefix)), claims);
}

TEST_F(ClaimTest, ARunThatCannotReadWhatIsInUseGivesItsClaimsBack) {
  const auto before = Names();
  const std::string image = Names(std::string(kImagesPrefix)).front();
  const std::string content = store_->ReadWhole(image, 1 << 20).value();
  ASSERT_OK(store_->Replace(image, "damaged"));
  EXPECT_THAT(CollectGarbage(*store_, {}), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(Names(), before);
  ASSERT_OK(store_->Replace(image, content));
}

TEST_F(ClaimTest, WhicheverCallBeforeTheFirstRemovalFailsNoClaimIsLeft) {
  uint64_t first_removal = 0;
  FaultyBackend counting(store_);
  BeforeRemovalOf("", [&](std::string_view) {
    first_removal = counting.calls();
    return false;
  });
  ASSERT_OK(CollectGarbage(counting, {}).status());
  ASSERT_GT(first_removal, 20u);
  for (uint64_t n = 1; n < first_removal; ++n) {
    SCOPED_TRACE(n);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    SetUp();
    const auto before = Names();
    FaultyBackend faulty(store_);
    faulty.FailCall(n, absl::UnavailableError("away"));
    EXPECT_THAT(CollectGarbage(faulty, {}), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(Names(), before);
    if (HasFailure()) return;
  }
}

TEST_F(ClaimTest, AnIntentThatCannotBeReadBringsBackWhatHasJustBeenRemoved) {
  const auto records = Names(std::string(kRecordsPrefix));
  BeforeRemovalOf(kRecordsPrefix, [&](std::string_view) {
    EXPECT_OK(store_->Put("intents/" + std::string(32, 'b'), "junk"));
    return false;
  });
  EXPECT_GT(Gc().restored, 0u);
  EXPECT_EQ(Names(std::string(kRecordsPrefix)), records);
}

TEST_F(ClaimTest, ALeaseThatIsRenewedAtTheLastMomentStays) {
  WriteLease({base_, one_});
  store_->Advance(kLeaseSeconds + 1);
  (void)Gc();  // condemns it
  store_->Advance(kDefaultGraceSeconds);
  BeforeRemovalOf(kLeasesPrefix, [&](std::string_view) {
    WriteLease({base_, one_});
    return false;
  });
  (void)Gc();
  EXPECT_THAT(Names(std::string(kLeasesPrefix)), SizeIs(1));
}

}  // namespace
}  // namespace slacker
