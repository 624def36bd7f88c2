// Packs that are damaged, and chunks of which there are several copies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "backend/store/index_file.h"
#include "backend/store/names.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/set_aside.h"
#include "backend/upkeep/trash.h"
#include "tests/unit/backend/store/huge_bucket.h"
#include "tests/unit/backend/upkeep/fsck_fixture.h"

namespace slacker {
namespace {

using testing::FsckTest;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kMinuteSeconds;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;

TEST_F(FsckTest, OfADamagedPackTheSoundChunksAreKeptAndTheOthersArePublishedAgain) {
  std::string pack;
  for (const auto& [name, content] : sound_) {
    if (IdentifyObject(name).kind == ObjectKind::kPack && content.size() > 300'000) pack = name;
  }
  ASSERT_THAT(pack, Not(IsEmpty()));
  ASSERT_OK(store_->Replace(pack, Damaged(pack)));
  const FsckReport report = Check(/*repair=*/true);
  EXPECT_THAT(report.verified.damages, SizeIs(1));  // the chunk that is lost
  EXPECT_FALSE(store_->Stat(pack).ok());
  EXPECT_EQ(Content("quarantine/" + pack), Damaged(pack));
  ASSERT_OK(testing::PublishLayout(layout_, store_));
  EXPECT_THAT(Check(false).verified.damages, IsEmpty());
}

// The record tells what is needed of the pack; without it the pack has to stay for this image.
class DamagedRecordTest : public FsckTest, public ::testing::WithParamInterface<bool> {};

TEST_P(DamagedRecordTest, ADamagedPackOfItsImageGoesWhenTheImageIsPublishedAgain) {
  const bool locations_too = GetParam();
  // Its file is bin/tool as well.
  const auto other = layout_.AddImage(
      {testing::GzipLayer(testing::TarBuilder()
                              .File("same", testing::RandomBytes(testing::kSampleToolBytes, 1))
                              .End())},
      "other");
  ASSERT_OK(testing::PublishLayout(layout_, store_, "other"));
  const StoreReader reader(store_);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, reader.ReadManifest(image_.chain_id));
  const Digest record = manifest.layers[0].record;
  ASSERT_OK_AND_ASSIGN(const Locations locations, reader.ReadLocations(record, std::nullopt));
  const std::string pack = locations.packs[0];
  std::string bytes = Content(pack);
  const uint64_t first = locations.chunks[0].offset;  // of a chunk that both have
  bytes[first] = static_cast<char>(bytes[first] ^ 1);
  ASSERT_OK(store_->Replace(pack, bytes));
  ASSERT_OK(store_->Replace(RecordName(record), "damaged"));
  if (locations_too) {
    ASSERT_OK(store_->Replace(LocationsName(record), "damaged"));
  }

  const FsckReport report = Check(/*repair=*/true);
  EXPECT_OK(store_->Stat(pack).status());
  ASSERT_OK_AND_ASSIGN(const VerifyReport others, VerifyChain(store_, other.chain_id));
  EXPECT_THAT(others.damages, SizeIs(1)) << "the chunk that is lost, and no other";
  ASSERT_OK_AND_ASSIGN(const Manifest moved, reader.ReadManifest(other.chain_id));
  ASSERT_OK_AND_ASSIGN(const Locations places,
                       reader.ReadLocations(moved.layers[0].record, std::nullopt));
  EXPECT_THAT(places.packs, Not(::testing::Contains(pack)));

  ASSERT_OK(testing::PublishLayout(layout_, store_));
  ASSERT_OK(testing::PublishLayout(layout_, store_, "other"));
  EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
  EXPECT_FALSE(store_->Stat(pack).ok());
}

INSTANTIATE_TEST_SUITE_P(Locations, DamagedRecordTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Damaged" : "Sound"; });

TEST_F(FsckTest, ADamagedChunkOfWhichThereIsAnotherCopyIsFoundThere) {
  // Compaction leaves the old packs, until garbage is collected.
  ASSERT_OK(Compact(*store_, {}).status());
  std::set<std::string> old;
  for (const auto& [name, content] : sound_) old.insert(name);
  std::string pack;
  const auto names2 = store_->List("packs/").value();
  for (const std::string& name : names2) {
    if (!old.contains(name) && !name.ends_with(".idx")) pack = name;
  }
  ASSERT_THAT(pack, Not(IsEmpty()));
  std::string bytes = Content(pack);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_OK(store_->Replace(pack, bytes));
  EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
  // It is condemned no more.
  ASSERT_OK(CollectGarbage(*store_, {.grace_seconds = 0}));
  EXPECT_THAT(Check(false).verified.damages, IsEmpty());
}

TEST_F(FsckTest, ACopyThatACollectionIsRemovingDoesNotKeepTheRestFromBeingMended) {
  ASSERT_OK(Compact(*store_, {}).status());
  ASSERT_OK_AND_ASSIGN(auto trash, ListTrash(*store_));
  for (Condemned& condemned : trash) {
    ASSERT_OK(Claim(*store_, NewMaintenanceId(0), &condemned));
  }
  const auto claims = store_->List(kTrashPrefix).value();
  for (const auto& [name, content] : sound_) {
    if (IdentifyObject(name).kind == ObjectKind::kLocations) {
      ASSERT_OK(store_->Replace(name, "damaged"));
    }
  }
  const std::vector<std::string> packs = store_->List("packs/").value();
  for (const std::string& name : packs) {
    if (sound_.contains(name) || name.ends_with(".idx")) continue;
    std::string bytes = Content(name);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    ASSERT_OK(store_->Replace(name, bytes));
  }
  // Whatever becomes of its claims. One chunk, as long as nobody publishes it again.
  store_->SetHook([&](uint64_t) {
    for (const std::string& claim : claims) ASSERT_OK(store_->Replace(claim, ""));
  });
  EXPECT_THAT(Check(/*repair=*/true).verified.damages, SizeIs(1));
  store_->SetHook(nullptr);
  for (const std::string& claim : claims) ASSERT_OK(store_->Remove(claim));
  ASSERT_OK(testing::PublishLayout(layout_, store_));
  EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
}

// Nobody else takes its claims away for a day.
TEST_F(FsckTest, ACopyThatACollectionHadClaimedWhenItDiedIsFoundAndKept) {
  ASSERT_OK(Compact(*store_, {}).status());
  ASSERT_OK_AND_ASSIGN(auto trash, ListTrash(*store_));
  ASSERT_OK_AND_ASSIGN(const int64_t now, StoreNow(*store_));
  const std::string run = NewMaintenanceId(now);
  for (Condemned& condemned : trash) ASSERT_OK(Claim(*store_, run, &condemned));
  const std::vector<std::string> packs = store_->List("packs/").value();
  for (const std::string& name : packs) {
    if (sound_.contains(name) || name.ends_with(".idx")) continue;
    std::string bytes = Content(name);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    ASSERT_OK(store_->Replace(name, bytes));
  }
  EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
  ASSERT_OK(CollectGarbage(*store_, {.grace_seconds = 0}));
  EXPECT_THAT(Check(false).verified.damages, IsEmpty());
}

// One that lives goes on meanwhile.
TEST_F(FsckTest, ACollectionPutsBackACopyThatARepairHasComeToNeed) {
  ASSERT_OK(Compact(*store_, {}).status());
  const std::vector<std::string> packs = store_->List("packs/").value();
  for (const std::string& name : packs) {
    if (sound_.contains(name) || name.ends_with(".idx")) continue;
    std::string bytes = Content(name);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    ASSERT_OK(store_->Replace(name, bytes));
  }
  int repairs = 0;
  store_->SetBeforeMove([&](std::string_view from, std::string_view to) {
    if (!from.starts_with(kPacksPrefix) || !to.starts_with(kRemovedPrefix)) return false;
    store_->SetBeforeMove(nullptr);
    EXPECT_THAT(Check(/*repair=*/true).verified.damages, IsEmpty());
    ++repairs;
    return false;
  });
  ASSERT_OK(CollectGarbage(*store_, {.grace_seconds = 0}));
  EXPECT_EQ(repairs, 1);
  EXPECT_THAT(Check(false).verified.damages, IsEmpty());
}

TEST_F(FsckTest, ADamagedMergedIndexIsMergedAgain) {
  ASSERT_OK_AND_ASSIGN(const IndexCatalog catalog, OpenIndexes(*store_));
  ASSERT_OK_AND_ASSIGN(const IndexMerge merge, MergeIndexes(*store_, catalog));
  ASSERT_THAT(merge.written, Not(IsEmpty()));
  const std::string sound = Content(merge.written);
  for (const size_t at : {size_t{20}, sound.size() - 50}) {
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    ASSERT_OK(store_->Replace(merge.written, bytes));
    EXPECT_THAT(Check(false).verified.damages, SizeIs(1)) << at;
    EXPECT_THAT(Check(true).verified.damages, IsEmpty()) << at;
    EXPECT_EQ(Content(merge.written), sound) << at;
  }
}

TEST_F(FsckTest, WhatWasMovedAsideIsPutBackWhenNobodyCanTellWhetherItMayGo) {
  store_->Advance(kMinuteSeconds);
  for (const auto& [name, content] : sound_) {
    if (IdentifyObject(name).kind == ObjectKind::kImage)
      continue;  // its manifest is there: it stays
    FsckReport report;
    SetAside aside(store_.get(), store_->now(), &report);
    EXPECT_THAT(aside.MoveAsideIf(name, "damaged",
                                  []() -> absl::StatusOr<bool> {
                                    return absl::UnavailableError("the store is away");
                                  }),
                StatusIs(absl::StatusCode::kUnavailable))
        << name;
    EXPECT_THAT(report.repaired, IsEmpty()) << name;
    EXPECT_EQ(Content(name), content) << name;
  }
  EXPECT_THAT(store_->List("quarantine/").value(), IsEmpty());
}

TEST_F(FsckTest, AMergedIndexThatNobodyCanReadIsMergedAgain) {
  ASSERT_OK_AND_ASSIGN(const IndexCatalog catalog, OpenIndexes(*store_));
  ASSERT_OK_AND_ASSIGN(const IndexMerge merge, MergeIndexes(*store_, catalog));
  const std::string sound = Content(merge.written);
  ASSERT_OK(store_->Replace(
      merge.written,
      testing::WithRows(sound, ParseIndexName(merge.written).value(), testing::kUnreadableRows)));
  EXPECT_THAT(Check(false).verified.damages, SizeIs(1));
  EXPECT_THAT(Check(true).verified.damages, IsEmpty());
  EXPECT_EQ(Content(merge.written), sound);
}

}  // namespace
}  // namespace slacker
