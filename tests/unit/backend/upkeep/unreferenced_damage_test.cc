// Damage in what nothing leads to, as publications that died leave it: publishers find chunks there by the
// indexes of packs, and do not read them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/publish/verifier.h"
#include "backend/store/index_file.h"
#include "backend/store/names.h"
#include "backend/upkeep/image_users.h"
#include "backend/upkeep/remove_image.h"
#include "tests/support/exhaustive.h"
#include "tests/unit/backend/upkeep/fsck_fixture.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;
using testing::kMinuteSeconds;
using ::testing::Not;
using ::testing::SizeIs;

class UnreferencedDamageTest : public testing::FsckTest {
 protected:
  // The largest pack; only packs are left, in the order in which a publisher that is killed leaves them.
  void LeavePacksOnly() {
    for (const auto& [name, content] : sound_) {
      if (!name.starts_with(kPacksPrefix)) {
        ASSERT_OK(store_->Remove(name));
      } else if (!name.ends_with(".idx") &&
                 (pack_.empty() || content.size() > sound_.at(pack_).size())) {
        pack_ = name;
      }
    }
  }
  void MergeAllIndexes() {
    ASSERT_OK_AND_ASSIGN(const IndexCatalog catalog, OpenIndexes(*store_));
    ASSERT_OK_AND_ASSIGN(const IndexMerge merge, MergeIndexes(*store_, catalog));
    ASSERT_THAT(merge.written, Not(IsEmpty()));
  }
  std::vector<Damage> PublishAndVerify() {
    EXPECT_OK(testing::PublishLayout(layout_, store_));
    return VerifyChain(store_, image_.chain_id)->damages;
  }

  std::string pack_;
};

TEST_F(UnreferencedDamageTest, ADamagedPackIsUsedUntilARepairHasMovedItAside) {
  for (const bool merged : {false, true}) {
    for (const bool repair : {false, true}) {
      SCOPED_TRACE(::testing::Message() << merged << repair);
      Reset();
      LeavePacksOnly();
      if (merged) MergeAllIndexes();
      ASSERT_OK(store_->Replace(pack_, Damaged(pack_)));
      const FsckReport report = Check(repair);
      EXPECT_THAT(report.verified.damages, SizeIs(repair ? 0 : 1));
      EXPECT_EQ(store_->Stat(pack_).ok(), !repair);
      if (repair) {
        EXPECT_EQ(Content("quarantine/" + pack_), Damaged(pack_));
      }
      EXPECT_THAT(PublishAndVerify(), SizeIs(repair ? 0 : 1));
    }
  }
}

// It stays where it is, for an image whose record is damaged as well: nobody can tell what that needs.
TEST_F(UnreferencedDamageTest, OfADamagedPackThatHasToStayPublishersUseWhatIsSound) {
  for (const bool merged : {false, true}) {
    SCOPED_TRACE(merged);
    Reset();
    if (merged) MergeAllIndexes();
    const StoreReader reader(store_);
    ASSERT_OK_AND_ASSIGN(const Manifest manifest, reader.ReadManifest(image_.chain_id));
    const Digest record = manifest.layers[0].record;
    ASSERT_OK_AND_ASSIGN(const Locations locations, reader.ReadLocations(record, std::nullopt));
    const std::string pack = locations.packs[0];
    ASSERT_OK(store_->Replace(pack, Damaged(pack)));
    ASSERT_OK(store_->Replace(RecordName(record), "damaged"));
    (void)Check(/*repair=*/true);
    ASSERT_OK(store_->Stat(pack).status());
    EXPECT_THAT(PublishAndVerify(), IsEmpty());
  }
}

// As it happens when it meets the intent of somebody who then does without.
TEST_F(UnreferencedDamageTest, APackThatACollectionTakesBackRightBeforeItIsMovedStays) {
  for (const auto& sound : sound_) {
    const std::string& name = sound.first;
    if (IdentifyObject(name).kind != ObjectKind::kPack) continue;
    SCOPED_TRACE(name);
    Reset();
    ASSERT_OK(RemoveImages(*store_, *ListImages(*store_), {image_.chain_id}));
    ASSERT_OK(store_->Replace(name, Damaged(name)));
    int moves = 0;
    store_->SetBeforeMove([&](std::string_view from, std::string_view) {
      if (from != name || moves++ > 0) return false;
      const auto marks = store_->List("trash/").value();
      for (const std::string& mark : marks) EXPECT_OK(store_->Remove(mark));
      return false;
    });
    (void)Check(/*repair=*/true);
    store_->SetBeforeMove(nullptr);
    EXPECT_EQ(moves, 1);
    EXPECT_OK(store_->Stat(name).status());
    // Nobody needs it all the same, so the next one may.
    EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
    EXPECT_THAT(store_->Stat(name).status(), testing::StatusIs(absl::StatusCode::kNotFound));
  }
}

// As a publication that died leaves them, or a collection: with and without what would lead there.
TEST_F(UnreferencedDamageTest, WhateverIsDamagedIsFoundSaidToBeUnusedAndMovedAside) {
  const auto is_part = [](ObjectKind kind) {
    return kind == ObjectKind::kRecord || kind == ObjectKind::kTar ||
           kind == ObjectKind::kLocations || kind == ObjectKind::kPack ||
           kind == ObjectKind::kPackIndex;
  };
  for (const bool alone : {false, true}) {
    for (const auto& [name, content] : sound_) {
      const ObjectKind damaged = IdentifyObject(name).kind;
      if (!is_part(damaged)) continue;
      SCOPED_TRACE(name + (alone ? " alone" : ""));
      Reset();
      for (const auto& [other, unused] : sound_) {
        const bool stays = alone ? other == name : is_part(IdentifyObject(other).kind);
        if (stays) continue;
        ASSERT_OK(store_->Remove(other));
      }
      ASSERT_OK(store_->Replace(name, Damaged(name)));
      std::vector<Damage> damages = Check(/*repair=*/false).verified.damages;
      ASSERT_OK(NameUsers(*store_, &damages));
      ASSERT_THAT(damages, SizeIs(1));
      EXPECT_EQ(damages[0].object, name);
      EXPECT_TRUE(damages[0].unused);
      EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
      EXPECT_THAT(Check(/*repair=*/false).verified.damages, IsEmpty());
      const bool made_anew =
          !alone && (damaged == ObjectKind::kLocations || damaged == ObjectKind::kPackIndex);
      EXPECT_TRUE(made_anew || Content("quarantine/" + name) == Damaged(name));
      EXPECT_THAT(PublishAndVerify(), IsEmpty());
    }
  }
}

TEST_F(UnreferencedDamageTest, WhatAnImageNeedsIsNotSaidToBeUnused) {
  for (const auto& [name, content] : sound_) {
    const ObjectKind kind = IdentifyObject(name).kind;
    if (!IsCondemnable(kind) || kind == ObjectKind::kLease) continue;
    SCOPED_TRACE(name);
    Reset();
    ASSERT_OK(store_->Replace(name, Damaged(name)));
    std::vector<Damage> damages = Check(/*repair=*/false).verified.damages;
    ASSERT_THAT(damages, Not(IsEmpty()));
    ASSERT_OK(NameUsers(*store_, &damages));
    for (const Damage& damage : damages) EXPECT_FALSE(damage.unused) << damage.object;
  }
}

// Whatever it declares, and whenever: it finds that it cannot rely on what is moved aside.
TEST_F(UnreferencedDamageTest, NoPublicationIsLeftWithoutAPackThatARepairMovesAside) {
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep + n / 100) {  // there are many, and alike
    SCOPED_TRACE(n);
    Reset();
    LeavePacksOnly();
    ASSERT_OK(store_->Replace(pack_, Damaged(pack_)));
    store_->Advance(kMinuteSeconds);
    more = false;
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      EXPECT_OK(testing::PublishLayout(layout_, store_));
    });
    ASSERT_OK(CheckStore(store_, {}, /*repair=*/true).status());
    store_->SetHook(nullptr);
    if (!more) break;
    // The chunk that was damaged when it was found, and no other.
    EXPECT_THAT(VerifyChain(store_, image_.chain_id)->damages, SizeIs(::testing::Le(1u)));
    if (HasFailure()) return;
  }
}

// The other way round: a check that repairs happens at every call of a publication.
TEST_F(UnreferencedDamageTest, ARepairAtAnyMomentOfAPublicationLeavesItTheSoundChunks) {
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep + n / 20) {  // there are many, and alike
    SCOPED_TRACE(n);
    Reset();
    LeavePacksOnly();
    ASSERT_OK(store_->Replace(pack_, Damaged(pack_)));
    store_->Advance(kMinuteSeconds);
    more = false;
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      EXPECT_OK(CheckStore(store_, {}, /*repair=*/true).status());
    });
    EXPECT_OK(testing::PublishLayout(layout_, store_));
    store_->SetHook(nullptr);
    EXPECT_THAT(VerifyChain(store_, image_.chain_id)->damages, SizeIs(::testing::Le(1u)));
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace slacker
