#include "backend/upkeep/gc.h"

#include <algorithm>

#include "backend/store/start_trace.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/trash.h"
#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using testing::CheckSamples;
using testing::FaultyBackend;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SampleChain;
using testing::SampleLayer;
using ::testing::SizeIs;
using testing::StagedBackend;
using testing::StatusIs;

class GcTest : public testing::UpkeepTest {};

TEST_F(GcTest, WhatIsInUseStaysForEver) {
  ASSERT_OK(Publish("one", {base_, one_}));
  const auto before = Names();
  for (int i = 0; i < 3; ++i) {
    store_->Advance(2 * kDefaultGraceSeconds);
    const GcReport report = Gc();
    EXPECT_THAT(report.actions, IsEmpty());
    EXPECT_EQ(report.in_use.objects, before.size());
  }
  EXPECT_EQ(Names(), before);
}

TEST_F(GcTest, ARemovedImageGoesWhenTwoRunsTheGraceApartHaveFoundItUnused) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {base_, two_}));
  store_->Advance(kDaySeconds);
  ASSERT_OK(Rm("two"));
  const GcReport first = Gc();
  EXPECT_GT(first.condemned.objects, 3u);
  EXPECT_EQ(first.removed.objects, 0u);
  store_->Advance(kDefaultGraceSeconds - 1);
  EXPECT_EQ(Gc().removed.objects, 0u);
  store_->Advance(1);
  const GcReport last = Gc();
  EXPECT_EQ(last.removed.objects, first.condemned.objects);
  EXPECT_THAT(Names("trash/"), IsEmpty());
  EXPECT_THAT(Names("records/"), SizeIs(2));
  EXPECT_THAT(Names("packs/"), SizeIs(4));
  ExpectSound();
}

TEST_F(GcTest, EverythingGoesWithTheLastImage) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Rm("one"));
  CollectAll();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(GcTest, TracesOfStartsGoWithTheirImage) {
  ASSERT_OK(Publish("one", {base_, one_}));
  const StartTrace trace{SampleChain({base_, one_}), {Digest(), Digest()}, 1, {{0, 0, 1, 1}}};
  ASSERT_OK(LeaveTrace(*store_, trace));
  ASSERT_OK(store_->Replace(MergedTraceName(trace.chain_id), *EncodeTrace(trace)));
  CollectAll();
  EXPECT_THAT(Names(std::string(kTracesPrefix)), SizeIs(2));
  ASSERT_OK(Rm("one"));
  CollectAll();
  EXPECT_THAT(Names(), IsEmpty());
}

// Publishers look there for layers that they meet on another base.
TEST_F(GcTest, WhatSaysWhereALayerIsStaysAsLongAsTheChain) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {base_, two_}));
  ASSERT_OK(Rm("one"));
  CollectAll();
  EXPECT_THAT(Names(std::string(kLayersPrefix)),
              ::testing::UnorderedElementsAre(
                  LayerChainName(base_.layer.diff_id, {SampleChain({base_}), ""}),
                  LayerChainName(two_.layer.diff_id, {SampleChain({base_, two_}), ""})));
}

TEST_F(GcTest, WhatWasWrittenWithinADayIsLeftAlone) {
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(store_, {}));
  ASSERT_OK(AddSample(*writer, base_));
  store_->Advance(kDaySeconds - 1);
  EXPECT_THAT(Gc().actions, IsEmpty());
  store_->Advance(1);
  EXPECT_THAT(Gc().actions, Not(IsEmpty()));
}

TEST_F(GcTest, ADryRunChangesNothingAndSaysWhatItWouldDo) {
  ASSERT_OK(Publish("one", {base_}));
  ASSERT_OK(Rm("one"));
  const auto before = Names();
  ASSERT_OK_AND_ASSIGN(const GcReport report, CollectGarbage(*store_, {.dry_run = true}));
  EXPECT_EQ(Names(), before);
  // Record, tar part, locations, pack, index, the name that says where the layer is.
  EXPECT_EQ(report.condemned.objects, 6u);
}

TEST_F(GcTest, WhatANodeHasIsKeptWithoutBeingPublishedAgain) {
  ASSERT_OK(Publish("one", {base_, one_}));
  WriteLease({base_, one_});
  ASSERT_OK(Rm("one"));
  EXPECT_THAT(CheckSamples(store_, {base_, one_}), StatusIs(absl::StatusCode::kNotFound));
  for (int day = 0; day < 100; ++day) {
    store_->Advance(kDaySeconds);
    WriteLease({base_, one_});
    (void)Gc();
  }
  EXPECT_THAT(Names("records/"), SizeIs(2));
  EXPECT_THAT(Names("packs/"), SizeIs(4));
  EXPECT_THAT(Names("manifests/"), IsEmpty());
  store_->Advance(kLeaseSeconds + 1);  // the node is gone
  CollectAll();
  CollectAll();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(GcTest, PublishingAgainTakesBackWhatWasCondemned) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Rm("one"));
  store_->Advance(kDaySeconds);
  (void)Gc();
  ASSERT_OK(Publish("one", {base_, one_}));
  CollectAll();
  EXPECT_THAT(Names("trash/"), IsEmpty());
  ExpectSound();
}

TEST_F(GcTest, ADamagedObjectOnTheWayKeepsEverythingAndIsNamed) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {base_, two_}));
  ASSERT_OK(Rm("two"));
  const auto names = Names();
  for (const std::string& name : names) {
    const ObjectKind kind = IdentifyObject(name).kind;
    if (kind != ObjectKind::kImage && kind != ObjectKind::kManifest &&
        kind != ObjectKind::kLocations) {
      continue;
    }
    const std::string content = store_->ReadWhole(name, 1 << 20).value();
    ASSERT_OK(store_->Replace(name, content + "x"));
    const auto report = CollectGarbage(*store_, {.grace_seconds = 0});
    if (report.ok()) {
      EXPECT_EQ(kind, ObjectKind::kLocations) << name;  // those of the removed image
    } else {
      EXPECT_THAT(report.status(), StatusIs(absl::StatusCode::kDataLoss, name));
    }
    ASSERT_OK(store_->Replace(name, content));
  }
}

// It might keep anything, until whoever wrote it must have written it anew.
TEST_F(GcTest, AnUnreadableLeaseOrIntentKeepsEverythingForADayAndIsSetAside) {
  const std::string lease = LeaseName(std::string(32, 'a'));
  const std::string intent = "intents/" + std::string(32, 'b');
  for (const std::string& junk : {lease, intent}) {
    SCOPED_TRACE(junk);
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    ASSERT_OK(Rm("two"));
    CondemnAllGarbage();
    store_->Advance(2 * kDefaultGraceSeconds);
    ASSERT_OK(store_->Replace(junk, "junk"));
    store_->Advance(kDaySeconds - 1);
    const GcReport held = Gc(0);
    EXPECT_THAT(held.unreadable, ::testing::ElementsAre(junk));
    EXPECT_EQ(held.removed.objects, 0u);
    EXPECT_THAT(Names("records/"), SizeIs(3));
    store_->Advance(1);
    EXPECT_THAT(Gc(0).unreadable, IsEmpty());
    EXPECT_THAT(Names("records/"), SizeIs(2));
    EXPECT_FALSE(store_->Stat(junk).ok());
    EXPECT_EQ(store_->Stat(QuarantineName(junk)).ok(), junk == lease);
    ExpectSound();
  }
}

TEST_F(GcTest, WhatIsWrittenAnewAfterItWasCondemnedIsCondemnedAnew) {
  ASSERT_OK(Publish("one", {base_}));
  const std::string boot =
      BootPackName(SampleChain({one_}));  // of an image that is being published
  ASSERT_OK(store_->Put(boot, "old"));
  store_->Advance(kDaySeconds);
  (void)Gc();
  store_->Advance(kDefaultGraceSeconds);
  ASSERT_OK(store_->Replace(boot, "new"));
  (void)Gc();
  EXPECT_OK(store_->Stat(boot).status());
  store_->Advance(kDaySeconds);
  (void)Gc();
  EXPECT_OK(store_->Stat(boot).status());
  store_->Advance(kDefaultGraceSeconds);
  (void)Gc();
  EXPECT_FALSE(store_->Stat(boot).ok());
}

// Two collections at once, one of which died, can leave that.
TEST_F(GcTest, WhatWasRemovedWithoutBeingCondemnedGoesAfterTheGrace) {
  ASSERT_OK(Publish("one", {base_}));
  const std::string tar = TarName(Digest());
  ASSERT_OK(store_->Put(RemovedName(tar, std::string(32, '0')), "old"));
  (void)Gc();
  EXPECT_OK(store_->Stat(TrashName(tar)).status());
  store_->Advance(kDefaultGraceSeconds);
  (void)Gc();
  EXPECT_THAT(Names("removed/"), IsEmpty());
  EXPECT_THAT(Names("trash/"), IsEmpty());
}

TEST_F(GcTest, WhatARunThatDiedRemovedOfAPublishedImageComesBackWithTheNextRun) {
  ASSERT_OK(Publish("one", {base_, one_}));
  const auto names = Names();
  for (const std::string& name : names) {
    if (!IsCondemnable(IdentifyObject(name).kind)) continue;
    SCOPED_TRACE(name);
    ASSERT_OK(store_->Move(name, RemovedName(name, NewMaintenanceId(0))));
    EXPECT_EQ(Gc().restored, 1u);
    EXPECT_EQ(Names(), names);
    ExpectSound();
  }
}

// What had the name later counts: older locations may lead to packs that have gone since.
TEST_F(GcTest, OfSeveralThatWereRemovedTheLastOneComesBack) {
  ASSERT_OK(Publish("one", {base_, one_}));
  for (const std::string& name : Names(std::string(kLocationsPrefix))) {
    const std::string id = NewMaintenanceId(1);
    ASSERT_OK(store_->Put(RemovedName(name, NewMaintenanceId(0)), "older"));
    ASSERT_OK(store_->Move(name, RemovedName(name, id)));
    ASSERT_OK(store_->Put(RemovedName(name, NewMaintenanceId(0)), "older"));
  }
  (void)Gc();
  ExpectSound();
  EXPECT_THAT(Names("removed/"), IsEmpty());
}

TEST_F(GcTest, AnUnreadableLeaseDoesNotReplaceOneThatWasSetAsideBefore) {
  const std::string lease = LeaseName(std::string(32, 'a'));
  for (const char* content : {"first", "second"}) {
    ASSERT_OK(store_->Replace(lease, content));
    store_->Advance(kDaySeconds);
    (void)Gc();
  }
  EXPECT_EQ(*store_->ReadWhole(QuarantineName(lease), 100), "first");
  EXPECT_THAT(Names(std::string(kQuarantinePrefix)), SizeIs(2));
}

TEST_F(GcTest, AnUnreadableLeaseThatIsWrittenAnewAtTheLastMomentStays) {
  const std::string lease = LeaseName(std::string(32, 'a'));
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(store_->Replace(lease, "junk"));
  store_->Advance(kDaySeconds);
  store_->SetBeforeMove([&](std::string_view from, std::string_view /*to*/) {
    if (from == lease) WriteLease({base_, one_});
    return false;
  });
  (void)Gc();
  EXPECT_EQ(store_->ReadWhole(lease, 1 << 20)->substr(0, 4), "SLKI");
}

TEST_F(GcTest,
       WhileAnIntentCannotBeReadAnImageThatIsRemovedKeepsItsManifestsUntilTheyAreCollected) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(store_->Put("intents/" + std::string(32, 'b'), "junk"));
  EXPECT_THAT(Rm("one"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Names("images/"), IsEmpty());
  EXPECT_THAT(Names("manifests/"), SizeIs(2));
  CollectAll();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(GcTest, WhatOnlyLooksLikeAnObjectIsReportedAndLeftAloneAlsoInAStoreThatIsFull) {
  const std::string hex = Digest().ToHex();
  const std::vector<std::string> junk = {"boot/" + hex + "_",         "grants/" + hex + "/a_b/c",
                                         "leases/a_b/images",         "manifests/" + hex + "/a/b",
                                         "manifests/" + hex + "/a_b", "traces/" + hex + "/a_b"};
  for (uint64_t n = 1, calls = 1; n <= calls; ++n) {
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("one", {base_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    ASSERT_OK(Rm("two"));
    for (const std::string& name : junk) ASSERT_OK(store_->Put(name, EncodeReferences({})));
    FaultyBackend faulty(store_);
    faulty.FailCall(n, absl::ResourceExhaustedError("full"));
    const auto report = CollectGarbage(faulty, {.grace_seconds = 0});
    calls = faulty.calls();
    EXPECT_THAT(Gc(0).foreign, ::testing::ElementsAreArray(junk));
    for (const std::string& name : junk) EXPECT_OK(store_->Stat(name).status());
    EXPECT_THAT(Names("trash/"), IsEmpty());
    ExpectSound();
    if (HasFailure()) return;
  }
}

// Names that cannot be condemned, or would come back from trash/ and removed/ as others.
TEST_F(GcTest, WhatHasNoNameThatCanBeCondemnedIsReportedAndLeftAlone) {
  ASSERT_OK(Publish("one", {base_}));
  const std::string hex = SampleChain({base_}).ToHex();
  const std::string id(32, 'a');
  const std::vector<std::string> junk = {
      "leases/" + std::string(220, 'b') + "/images",
      "manifests/" + Digest().ToHex() + "/a." + id,
      "manifests/" + Digest().ToHex() + "/" + std::string(150, 'c'),
      "removed/a__b",
      "removed/boot_" + hex + "_",
      "removed/foo",
      "removed/manifests_" + hex + "_." + id,
      "trash/a__b." + id,
      "trash/manifests_" + hex + "_",
      "trash/manifests_" + hex + "__." + id};
  for (const std::string& name : junk) ASSERT_OK(store_->Put(name, EncodeReferences({})));
  store_->Advance(kDaySeconds);
  // It ends, whatever it meets.
  FaultyBackend ending(store_);
  ending.FailFrom(10'000, absl::UnavailableError("for ever"));
  ASSERT_OK_AND_ASSIGN(const GcReport collected, CollectGarbage(ending, {.grace_seconds = 0}));
  EXPECT_THAT(collected.foreign, ::testing::ElementsAreArray(junk));
  for (const std::string& name : junk) EXPECT_OK(store_->Stat(name).status());
  WriteLease({base_, one_});  // looks for manifests below removed/
  EXPECT_THAT(Gc().foreign, ::testing::ElementsAreArray(junk));
  ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckStore(store_, {}, /*repair=*/false));
  EXPECT_THAT(report.foreign, ::testing::IsSupersetOf(junk));
  ExpectSound();
}

TEST_F(GcTest, ForeignObjectsAreReportedAndLeftAlone) {
  ASSERT_OK(store_->Put("boot.txt", "mine"));
  ASSERT_OK(store_->Put("packs/readme", "mine"));
  ASSERT_OK(store_->Put("trash/boot.txt", ""));
  ASSERT_OK(store_->Put("traces/x", "mine"));
  CollectAll();
  EXPECT_THAT(Gc(0).foreign, ::testing::UnorderedElementsAre("boot.txt", "packs/readme",
                                                             "trash/boot.txt", "traces/x"));
  EXPECT_THAT(Names(), SizeIs(4));
}

TEST_F(GcTest, WhateverCallFailsEveryVisibleImageIsSoundAndTheNextRunFinishes) {
  for (uint64_t n = 1;; ++n) {
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    ASSERT_OK(Rm("two"));
    if (n % 2 == 0) CondemnAllGarbage();
    FaultyBackend faulty(store_);
    faulty.FailFrom(n, absl::UnavailableError("away"));
    const auto report = CollectGarbage(faulty, {.grace_seconds = 0});
    ExpectSound();
    (void)Gc(0);
    ExpectSound();
    EXPECT_THAT(Names("records/"), SizeIs(2)) << n;
    EXPECT_THAT(Names("trash/"), IsEmpty()) << n;
    if (report.ok() && n > 2) break;
  }
}

// At every call of a publication, a whole run without grace happens in its middle. Either the
// publication succeeds, and is sound, or it says that it must be started again.
class GcDuringPublicationTest : public GcTest, public ::testing::WithParamInterface<bool> {};

TEST_P(GcDuringPublicationTest, NothingDanglesWherever) {
  bool failed = false;
  for (uint64_t n = 1;; ++n) {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("other", {two_}));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Rm("one"));
    if (GetParam()) CondemnAllGarbage();
    store_->SetHook([&](uint64_t call) {
      if (call == n) (void)Gc(0);
    });
    const absl::Status published = Publish("one", {base_, one_});
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ExpectSound();
    if (!published.ok()) {
      EXPECT_THAT(published, StatusIs(absl::StatusCode::kAborted)) << n;
      failed = true;
      ASSERT_OK(Publish("one", {base_, one_})) << n;
    }
    for (int i = 0; i < 2; ++i) {
      ExpectSound();
      (void)Gc(0);
    }
    ExpectSound();
    EXPECT_THAT(Names("records/"), SizeIs(3)) << n;
    if (calls < n) break;
  }
  EXPECT_TRUE(failed);  // or the test has not met what it is about
}

INSTANTIATE_TEST_SUITE_P(Garbage, GcDuringPublicationTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Condemned" : "Fresh"; });

// The other way round: a whole publication at every call of a run.
class PublicationDuringGcTest : public GcTest, public ::testing::WithParamInterface<bool> {};

TEST_P(PublicationDuringGcTest, NothingDanglesWherever) {
  for (uint64_t n = 1;; ++n) {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("other", {two_}));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Rm("one"));
    if (GetParam()) CondemnAllGarbage();
    absl::Status published;
    store_->SetHook([&](uint64_t call) {
      if (call == n) published = Publish("one", {base_, one_});
    });
    const auto report = CollectGarbage(*store_, {.grace_seconds = 0});
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ASSERT_OK(report.status()) << n;
    if (!published.ok()) {
      EXPECT_THAT(published, StatusIs(absl::StatusCode::kAborted)) << n;
    }
    ExpectSound();
    (void)Gc(0);
    ExpectSound();
    if (calls < n) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Garbage, PublicationDuringGcTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Condemned" : "Fresh"; });

TEST_F(GcTest, RemovingAnImageBesideItsPublicationHarmsNeither) {
  for (uint64_t n = 1;; ++n) {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("one", {base_, one_}));
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      EXPECT_OK(Rm("one"));
    });
    ASSERT_OK(Publish("same layers", {base_, one_}));
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ExpectSound();
    if (calls < n) break;
  }
}

TEST_F(GcTest, RemovingAnImageKeepsWhatOthersNeed) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("alias", {base_, one_}));
  ASSERT_OK(Publish("base", {base_}));
  ASSERT_OK(Rm("one"));
  ExpectSound();
  EXPECT_THAT(Names("manifests/"), SizeIs(2));
  ASSERT_OK(Rm("alias"));
  ExpectSound();
  EXPECT_THAT(Names("manifests/"), SizeIs(1));
  EXPECT_THAT(Names("grants/"), SizeIs(1));
  ASSERT_OK(Rm("base"));
  EXPECT_THAT(Names("manifests/"), IsEmpty());
  EXPECT_THAT(Names("grants/"), IsEmpty());
}

}  // namespace
}  // namespace slacker
