// Checks and repairs while others publish and remove.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "backend/store/names.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/remove_image.h"
#include "tests/support/exhaustive.h"
#include "tests/unit/backend/upkeep/fsck_fixture.h"

namespace slacker {
namespace {

using testing::FsckTest;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kMinuteSeconds;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StagedBackend;

// Before every call of a check that repairs, another publisher publishes, or an image is removed.
TEST_F(FsckTest, WhatIsPublishedOrRemovedMeanwhileIsNeitherDamagedNorRepaired) {
  for (const char* tag : {"stays", "comes", "goes"}) {
    layout_.AddImage({testing::PlainLayer(testing::TarBuilder().File(tag, tag).End())}, tag);
  }
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep) {
    SCOPED_TRACE(n);
    const auto store = std::make_shared<StagedBackend>();
    ASSERT_OK(testing::PublishLayout(layout_, store, "stays"));
    ASSERT_OK_AND_ASSIGN(const auto goes, testing::PublishLayout(layout_, store, "goes"));
    more = false;
    store->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      EXPECT_OK(testing::PublishLayout(layout_, store, "comes"));
      EXPECT_OK(RemoveImages(*store, {goes.entry}, {goes.entry.chain_id}));
      EXPECT_OK(CollectGarbage(*store, {.grace_seconds = 0}));
    });
    ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckStore(store, {}, /*repair=*/true));
    store->SetHook(nullptr);
    EXPECT_THAT(report.verified.damages, IsEmpty());
    EXPECT_THAT(report.repaired, IsEmpty());
    EXPECT_THAT(*store->List("images/"), SizeIs(2));
    EXPECT_THAT(VerifyStore(store)->damages, IsEmpty());
    if (HasFailure()) return;
  }
}

TEST_F(FsckTest, LocationsThatAPublisherHasMadeMeanwhileAreNotReplacedByThoseOfARepair) {
  for (const auto& [name, content] : sound_) {
    const ObjectKind kind = IdentifyObject(name).kind;
    if (kind == ObjectKind::kPack || kind == ObjectKind::kPackIndex) {
      ASSERT_OK(store_->Remove(name));
    } else if (kind == ObjectKind::kLocations) {
      ASSERT_OK(store_->Replace(name, "damaged"));
    }
  }
  bool published = false;
  store_->SetHook([&](uint64_t) {
    // It knows where the chunks are, or are not, and is about to say so.
    if (!published && !store_->List(kIntentsPrefix)->empty()) {
      published = true;
      EXPECT_OK(testing::PublishLayout(layout_, store_));
    }
    if (published) {
      EXPECT_THAT(VerifyChain(store_, image_.chain_id)->damages, IsEmpty());
    }
  });
  const FsckReport report = Check(/*repair=*/true);
  store_->SetHook(nullptr);
  EXPECT_TRUE(published);
  EXPECT_THAT(report.verified.damages, IsEmpty());
}

// Between its last look at them and its own writing nothing can be seen: it looks again afterwards.
TEST_F(FsckTest, LocationsThatAPublisherWritesRightBeforeThoseOfARepairAreNotLost) {
  for (const auto& [name, content] : sound_) {
    const ObjectKind kind = IdentifyObject(name).kind;
    if (kind == ObjectKind::kPack || kind == ObjectKind::kPackIndex) {
      ASSERT_OK(store_->Remove(name));
    }
  }
  int publications = 0;
  store_->SetBeforeReplace([&](std::string_view name) {
    if (!name.starts_with(kLocationsPrefix)) return;
    store_->SetBeforeReplace(nullptr);
    ++publications;
    EXPECT_OK(testing::PublishLayout(layout_, store_));
    EXPECT_THAT(VerifyChain(store_, image_.chain_id)->damages, IsEmpty());
  });
  const FsckReport report = Check(/*repair=*/true);
  store_->SetBeforeReplace(nullptr);
  EXPECT_EQ(publications, 1);
  EXPECT_THAT(report.verified.damages, IsEmpty());
  for (const Damage& repaired : report.repaired) {
    EXPECT_THAT(repaired.what, Not(HasSubstr("lost"))) << repaired.object;
  }
  EXPECT_THAT(VerifyChain(store_, image_.chain_id)->damages, IsEmpty());
}

TEST_F(FsckTest, WhatWasPublishedInTheSecondInWhichARepairBeganStays) {
  const std::string record = (*store_->List(kRecordsPrefix))[0];
  ASSERT_OK(store_->Replace(record, "damaged"));
  bool verified = false;
  store_->SetBeforeMove([&](std::string_view from, std::string_view) {
    if (from == record && !verified) {
      verified = true;
      EXPECT_OK(store_->Replace(record, sound_.at(record)));
    }
    return false;
  });
  const FsckReport report = Check(/*repair=*/true);
  EXPECT_TRUE(verified);
  EXPECT_EQ(Content(record), sound_.at(record));
  EXPECT_THAT(report.verified.damages, IsEmpty());
  EXPECT_THAT(report.repaired, IsEmpty());
}

// The object that is moved may be another one than was looked at.
TEST_F(FsckTest, WhatIsPublishedAnewDuringARepairStaysWhereverThatHappens) {
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep + n / 40) {  // there are many, and alike
    SCOPED_TRACE(n);
    Reset();
    std::set<ObjectKind> damaged;
    for (const auto& [name, content] : sound_) {
      const ObjectKind kind = IdentifyObject(name).kind;
      if (kind == ObjectKind::kLease || !damaged.insert(kind).second) continue;
      ASSERT_OK(store_->Replace(name, Damaged(name)));
    }
    store_->Advance(kMinuteSeconds);
    more = false;
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      EXPECT_OK(testing::PublishLayout(layout_, store_));
    });
    const auto report = CheckStore(store_, {}, /*repair=*/true);
    store_->SetHook(nullptr);
    ASSERT_OK(report.status());
    if (!more) break;
    const FsckReport after = Check(/*repair=*/false);
    for (const Damage& damage : after.verified.damages) {
      ADD_FAILURE() << damage.object << ": " << damage.what;
    }
    EXPECT_THAT(*store_->List("images/"), SizeIs(1));
    EXPECT_OK(VerifyChain(store_, image_.chain_id).status());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace slacker
