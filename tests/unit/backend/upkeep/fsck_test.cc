#include "backend/upkeep/fsck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/requests.h"
#include "backend/store/start_trace.h"
#include "backend/store/store.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/remove_image.h"
#include "backend/upkeep/trash.h"
#include "tests/support/exhaustive.h"
#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/upkeep/fsck_fixture.h"

namespace slacker {
namespace {

using testing::FaultyBackend;
using testing::FsckTest;
using ::testing::IsEmpty;
using testing::kMinuteSeconds;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;

bool IsMovedAside(ObjectKind kind) {
  return kind == ObjectKind::kManifest || kind == ObjectKind::kGrant ||
         kind == ObjectKind::kImage || kind == ObjectKind::kRecord || kind == ObjectKind::kTar ||
         kind == ObjectKind::kLease || kind == ObjectKind::kLayerChain;
}

TEST_F(FsckTest, ASoundStoreIsLeftAsItIs) {
  ASSERT_OK(store_->Put("foreign", "mine"));
  const FsckReport report = Check(/*repair=*/true);
  EXPECT_THAT(report.verified.damages, IsEmpty());
  EXPECT_THAT(report.repaired, IsEmpty());
  EXPECT_THAT(report.foreign, ::testing::ElementsAre("foreign"));
  ASSERT_OK(store_->Remove("foreign"));
  for (const auto& [name, content] : sound_) EXPECT_EQ(Content(name), content) << name;
}

// As people and their programs leave them.
TEST_F(FsckTest, FilesOfOthersAreReportedLeftAloneAndInNobodysWay) {
  std::vector<std::string> others;
  for (const std::string_view prefix : {kImagesPrefix, kRecordsPrefix, kTarsPrefix,
                                        kLocationsPrefix, kManifestsPrefix, kBootPrefix}) {
    others.push_back(std::string(prefix) + ".DS_Store");
    ASSERT_OK(store_->Put(others.back(), "x"));
  }
  for (const bool repair : {false, true}) {
    const FsckReport report = Check(repair);
    EXPECT_THAT(report.verified.damages, IsEmpty());
    EXPECT_THAT(report.foreign, ::testing::IsSupersetOf(others));
  }
  EXPECT_THAT(*ListImages(*store_), SizeIs(1));
  ASSERT_OK(CollectGarbage(*store_, {.grace_seconds = 0}).status());
  EXPECT_OK(testing::PublishLayout(layout_, store_));
  for (const std::string& name : others) EXPECT_OK(store_->Stat(name).status());
}

TEST_F(FsckTest, WithoutRepairNothingIsWritten) {
  for (const auto& [name, content] : sound_) ASSERT_OK(store_->Replace(name, Damaged(name)));
  EXPECT_THAT(Check(/*repair=*/false).verified.damages, SizeIs(::testing::Ge(6u)));
  for (const auto& [name, content] : sound_) EXPECT_EQ(Content(name), Damaged(name)) << name;
}

// What each kind of object becomes, damaged or gone.
TEST_F(FsckTest, WhatCanBeMadeAnewIsAndTheRestIsMovedAside) {
  for (const auto& [name, content] : sound_) {
    for (const bool remove : {false, true}) {
      SCOPED_TRACE(name + (remove ? " removed" : " damaged"));
      Reset();
      ASSERT_OK(remove ? store_->Remove(name) : store_->Replace(name, Damaged(name)));
      store_->Advance(kDaySeconds);
      const ObjectKind kind = IdentifyObject(name).kind;
      const FsckReport report = Check(/*repair=*/true);
      switch (kind) {
        case ObjectKind::kLocations:
          EXPECT_THAT(report.verified.damages, IsEmpty());
          EXPECT_THAT(Check(false).verified.damages, IsEmpty());
          EXPECT_THAT(report.repaired, SizeIs(1));
          break;
        case ObjectKind::kPackIndex:
          EXPECT_THAT(report.verified.damages, IsEmpty());
          EXPECT_TRUE(remove || Content(name) == content);
          break;
        case ObjectKind::kLease:
        case ObjectKind::kImage:
          EXPECT_THAT(report.verified.damages, IsEmpty());
          break;
        default:
          break;
      }
      if (!remove && IsMovedAside(kind)) {
        EXPECT_EQ(Content("quarantine/" + name), Damaged(name));
        EXPECT_FALSE(store_->Stat(name).ok());
      }
      // Publishing again makes the store whole, whatever it was.
      ASSERT_OK(testing::PublishLayout(layout_, store_));
      const FsckReport after = Check(/*repair=*/true);
      for (const Damage& damage : after.verified.damages) {
        ADD_FAILURE() << damage.object << ": " << damage.what;
      }
    }
  }
}

TEST_F(FsckTest, AManifestBelowAnImageIsMissedUntilItIsBroughtBackOrPublishedAgain) {
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, StoreReader(store_).ReadManifest(image_.chain_id));
  const std::string name = ManifestName(PrefixChains(manifest)[0], std::nullopt);
  ASSERT_OK(store_->Replace(name, Damaged(name)));
  store_->Advance(kDaySeconds);
  const FsckReport aside = Check(/*repair=*/true);
  EXPECT_THAT(aside.repaired, SizeIs(1));
  ASSERT_THAT(aside.verified.damages, SizeIs(1));
  EXPECT_EQ(aside.verified.damages[0].object, name);
  ASSERT_OK(testing::PublishLayout(layout_, store_));
  EXPECT_THAT(Check(/*repair=*/false).verified.damages, IsEmpty());
  ASSERT_OK(MoveToRemoved(*store_, name, /*now=*/0));
  EXPECT_THAT(Check(/*repair=*/false).verified.damages, SizeIs(1));
  EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
  EXPECT_EQ(Content(name), sound_.at(name));
}

TEST_F(FsckTest, WhatIsLargerThanItMayBeIsDamagedAndMended) {
  for (const auto& [name, content] : sound_) {
    const ObjectKind kind = IdentifyObject(name).kind;
    if (kind != ObjectKind::kManifest && kind != ObjectKind::kGrant && kind != ObjectKind::kImage) {
      continue;
    }
    SCOPED_TRACE(name);
    Reset();
    ASSERT_OK(store_->Replace(name, content + std::string(32 << 20, 'x')));
    const auto collected = CollectGarbage(*store_, {.grace_seconds = 0});
    EXPECT_TRUE(collected.ok() || absl::IsDataLoss(collected.status())) << collected.status();
    EXPECT_THAT(Check(/*repair=*/false).verified.damages, Not(IsEmpty()));
    (void)Check(/*repair=*/true);
    EXPECT_OK(store_->Stat("quarantine/" + name).status());
    ASSERT_OK(testing::PublishLayout(layout_, store_));
    EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
  }
}

TEST_F(FsckTest, AnUnreadableLeaseOrIntentIsLeftForADay) {
  const std::string lease = LeaseName(std::string(32, 'a'));
  const std::string intent = "intents/" + std::string(32, 'b');
  ASSERT_OK(RemoveImages(*store_, *ListImages(*store_), {image_.chain_id}));
  const auto records = *store_->List("records/");
  for (const std::string& name : {lease, intent}) ASSERT_OK(store_->Replace(name, "junk"));
  store_->Advance(kDaySeconds - kMinuteSeconds - 1);
  const FsckReport left = Check(/*repair=*/true);
  EXPECT_THAT(left.left, SizeIs(2));
  EXPECT_THAT(left.repaired, IsEmpty());
  EXPECT_THAT(left.verified.damages, SizeIs(2));
  ASSERT_OK(CollectGarbage(*store_, {.grace_seconds = 0}));
  EXPECT_EQ(*store_->List("records/"), records);
  store_->Advance(1);
  const FsckReport aside = Check(/*repair=*/true);
  EXPECT_THAT(aside.left, IsEmpty());
  EXPECT_THAT(aside.repaired, SizeIs(2));
  EXPECT_THAT(aside.verified.damages, IsEmpty());
}

TEST_F(FsckTest, DamagedTracesAndRequestsAreMovedAsideAndSoundOnesStay) {
  StartTrace trace;
  trace.chain_id = image_.chain_id;
  trace.records.resize(testing::SampleLayers().size());
  trace.ranges = {{.layer = 0, .first = 1, .count = 2}};
  ASSERT_OK(LeaveTrace(*store_, trace));
  ASSERT_OK(store_->Put(MergedTraceName(trace.chain_id), *EncodeTrace(trace)));
  const PublishRequest request{
      "registry.example.com/app:1", trace.chain_id, {"linux", "amd64", ""}};
  ASSERT_OK(WriteRequest(*store_, request));
  const std::string asked = store_->List("requests/")->front();
  ASSERT_OK(store_->Put(RequestFailureName(asked), EncodeRequestFailure({1, false, 1, "no"})));
  ASSERT_OK(store_->Put(RequestClaimName(asked), EncodeRequestClaim({"somebody", 1})));
  ASSERT_OK_AND_ASSIGN(auto names, store_->List("requests/"));
  ASSERT_OK_AND_ASSIGN(const auto traces, store_->List(TracesPrefix(trace.chain_id)));
  names.insert(names.end(), traces.begin(), traces.end());
  ASSERT_THAT(names, SizeIs(5));
  EXPECT_THAT(Check(/*repair=*/true).repaired, IsEmpty());
  for (const std::string& name : names) {
    std::string bytes = Content(name);
    bytes[0] = static_cast<char>(bytes[0] ^ 1);
    ASSERT_OK(store_->Replace(name, bytes));
    EXPECT_THAT(Check(/*repair=*/true).left, SizeIs(1)) << name;  // of today
    EXPECT_THAT(Check(/*repair=*/false).verified.damages, SizeIs(1)) << name;
    store_->Advance(kDaySeconds);
    const FsckReport repaired = Check(/*repair=*/true);
    EXPECT_THAT(repaired.verified.damages, IsEmpty()) << name;
    EXPECT_THAT(repaired.repaired, SizeIs(1)) << name;
  }
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(FsckTest, WhateverCallOfARepairFailsNothingThatWasSoundIsLost) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    Reset();
    for (const auto& [name, content] : sound_) {
      const ObjectKind kind = IdentifyObject(name).kind;
      if (kind == ObjectKind::kLocations || kind == ObjectKind::kLease) {
        ASSERT_OK(store_->Replace(name, Damaged(name)));
      }
    }
    store_->Advance(kDaySeconds);
    const auto faulty = std::make_shared<FaultyBackend>(store_);
    faulty->FailFrom(n, absl::UnavailableError("away"));
    const auto report = CheckStore(faulty, {}, /*repair=*/true);
    if (!report.ok()) {
      EXPECT_THAT(report.status(), StatusIs(absl::StatusCode::kUnavailable)) << n;
    }
    EXPECT_THAT(Check(true).verified.damages, IsEmpty()) << n;
    for (const auto& [name, content] : sound_) {
      const ObjectKind kind = IdentifyObject(name).kind;
      if (kind == ObjectKind::kLocations || kind == ObjectKind::kLease) continue;
      EXPECT_EQ(Content(name), content) << name << n;
    }
    if (report.ok()) break;
    n += n / 8;  // there are many, and alike
  }
}

}  // namespace
}  // namespace slacker
