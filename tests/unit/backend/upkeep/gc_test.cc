#include "backend/upkeep/gc.h"

#include "backend/base/clock.h"
#include "backend/store/blob_head.h"
#include "backend/store/start_trace.h"
#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using testing::CheckSamples;
using testing::FaultyBackend;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SampleChain;
using ::testing::SizeIs;
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

// What is condemned already, what is not used now, and what says what is needed and counts no more.
class GcDryRunTest : public GcTest, public ::testing::WithParamInterface<int64_t> {};

TEST_P(GcDryRunTest, ItSaysExactlyWhatTheRunDoesThen) {
  const int64_t grace = GetParam();
  // A dry run writes nothing, and so knows no clock but its machine's.
  store_->Advance(SystemClock().WallNanos() / 1'000'000'000 - store_->now() - 3 * kDaySeconds);
  ASSERT_OK(Publish("one", {base_}));
  ASSERT_OK(Rm("one"));
  CondemnAllGarbage();
  store_->Advance(2 * kDaySeconds);
  ASSERT_OK(Publish("two", {base_, two_}));
  ASSERT_OK(Rm("two"));
  ASSERT_OK(Publish("three", {one_}));
  ASSERT_OK(store_->Replace(LeaseName(std::string(32, 'a')), "junk"));
  ASSERT_OK(store_->Replace("intents/" + std::string(32, 'b'), "junk"));
  store_->Advance(kDaySeconds);
  const auto names = Names();
  ASSERT_OK_AND_ASSIGN(const GcReport dry,
                       CollectGarbage(*store_, {.grace_seconds = grace, .dry_run = true}));
  EXPECT_EQ(Names(), names);
  ASSERT_OK_AND_ASSIGN(const GcReport run, CollectGarbage(*store_, {.grace_seconds = grace}));
  EXPECT_THAT(dry.actions, ::testing::UnorderedElementsAreArray(run.actions));
  EXPECT_EQ(run.removed.objects > 0, grace < kDefaultGraceSeconds);
  for (const auto total : {&GcReport::in_use, &GcReport::young, &GcReport::waiting,
                           &GcReport::condemned, &GcReport::removed}) {
    EXPECT_EQ((dry.*total).objects, (run.*total).objects);
    EXPECT_EQ((dry.*total).bytes, (run.*total).bytes);
  }
  EXPECT_EQ(dry.reprieved, run.reprieved);
  EXPECT_EQ(dry.unreadable, run.unreadable);
}

INSTANTIATE_TEST_SUITE_P(Graces, GcDryRunTest,
                         ::testing::Values(0, kDaySeconds, kDefaultGraceSeconds));

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

TEST_F(GcTest, TheBeginningsOfALayersBlobsGoWithItsRecord) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {base_, two_}));
  for (const std::string& name : Names(std::string(kRecordsPrefix))) {
    const Digest record = IdentifyObject(name).digest;
    ASSERT_OK(WriteBlobHead(*store_, record, Sha256::Of("gzip"), "head"));
    ASSERT_OK(WriteBlobHead(*store_, record, Sha256::Of("zstd"), "head"));
  }
  EXPECT_THAT(Names("heads/"), SizeIs(6));
  ASSERT_OK(Rm("one"));
  CollectAll();
  EXPECT_THAT(Names("heads/"), SizeIs(4));
  EXPECT_THAT(Gc().foreign, IsEmpty());
  ASSERT_OK(Rm("two"));
  CollectAll();
  EXPECT_THAT(Names("heads/"), IsEmpty());
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
