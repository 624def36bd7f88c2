// Collections that meet what cannot be read: it may keep anything.
#include "backend/upkeep/gc.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

class GcUnreadableTest : public testing::UpkeepTest {};

TEST_F(GcUnreadableTest, ADamagedObjectOnTheWayKeepsEverythingAndIsNamed) {
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
TEST_F(GcUnreadableTest, AnUnreadableLeaseOrIntentKeepsEverythingForADayAndIsSetAside) {
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

TEST_F(GcUnreadableTest, AnUnreadableLeaseDoesNotReplaceOneThatWasSetAsideBefore) {
  const std::string lease = LeaseName(std::string(32, 'a'));
  for (const char* content : {"first", "second"}) {
    ASSERT_OK(store_->Replace(lease, content));
    store_->Advance(kDaySeconds);
    (void)Gc();
  }
  EXPECT_EQ(*store_->ReadWhole(QuarantineName(lease), 100), "first");
  EXPECT_THAT(Names(std::string(kQuarantinePrefix)), SizeIs(2));
}

TEST_F(GcUnreadableTest, AnUnreadableLeaseThatIsWrittenAnewAtTheLastMomentStays) {
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

TEST_F(GcUnreadableTest,
       WhileAnIntentCannotBeReadAnImageThatIsRemovedKeepsItsManifestsUntilTheyAreCollected) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(store_->Put("intents/" + std::string(32, 'b'), "junk"));
  EXPECT_THAT(Rm("one"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Names("images/"), IsEmpty());
  EXPECT_THAT(Names("manifests/"), SizeIs(2));
  CollectAll();
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace slacker
