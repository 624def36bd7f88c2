#include "backend/upkeep/fsck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "backend/store/index_file.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/requests.h"
#include "backend/store/start_trace.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/remove_image.h"
#include "backend/upkeep/trash.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/staged_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::FaultyBackend;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StagedBackend;
using testing::StatusIs;

constexpr int64_t kMinuteSeconds = 60;

bool IsMovedAside(ObjectKind kind) {
  return kind == ObjectKind::kManifest || kind == ObjectKind::kGrant ||
         kind == ObjectKind::kImage || kind == ObjectKind::kRecord || kind == ObjectKind::kTar ||
         kind == ObjectKind::kLease || kind == ObjectKind::kLayerChain;
}

class FsckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    image_ = layout_.AddImage(testing::SampleLayers());
    ASSERT_OK(testing::PublishLayout(layout_, store_));
    ASSERT_OK(store_->Replace(LeaseName(std::string(32, 'a')), EncodeReferences({})));
    const auto names1 = store_->List("").value();
    for (const std::string& name : names1) sound_[name] = Content(name);
  }
  std::string Content(const std::string& name) { return *store_->ReadWhole(name, 64 << 20); }
  std::string Damaged(const std::string& name) {
    std::string bytes = sound_.at(name);
    if (bytes.empty()) return "x";
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
    return bytes;
  }
  void Reset() {
    const auto names = store_->List("").value();
    for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
    for (const auto& [name, content] : sound_) ASSERT_OK(store_->Replace(name, content));
  }
  // Of what is in the store by now: what was written a moment ago may be of somebody who mends it.
  FsckReport Check(bool repair) {
    store_->Advance(kMinuteSeconds);
    return CheckStore(store_, {}, repair).value();
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<StagedBackend> store_ = std::make_shared<StagedBackend>();
  testing::WrittenImage image_;
  std::map<std::string, std::string> sound_;
};

// Before every call of a check that repairs, another publisher publishes, or an image is removed.
TEST_F(FsckTest, WhatIsPublishedOrRemovedMeanwhileIsNeitherDamagedNorRepaired) {
  for (const char* tag : {"stays", "comes", "goes"}) {
    layout_.AddImage({testing::PlainLayer(testing::TarBuilder().File(tag, tag).End())}, tag);
  }
  bool more = true;
  for (uint64_t n = 1; more; ++n) {
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

TEST_F(FsckTest, ASoundStoreIsLeftAsItIs) {
  ASSERT_OK(store_->Put("foreign", "mine"));
  const FsckReport report = Check(/*repair=*/true);
  EXPECT_THAT(report.verified.damages, IsEmpty());
  EXPECT_THAT(report.repaired, IsEmpty());
  EXPECT_THAT(report.foreign, ::testing::ElementsAre("foreign"));
  ASSERT_OK(store_->Remove("foreign"));
  for (const auto& [name, content] : sound_) EXPECT_EQ(Content(name), content) << name;
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
  const auto other = layout_.AddImage(
      {testing::GzipLayer(testing::TarBuilder()
                              .File("same", testing::RandomBytes(700'000, 1))  // as bin/tool
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
  for (uint64_t n = 1; more; n += 1 + n / 40) {  // there are many, and alike
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

TEST_F(FsckTest, WhateverCallOfARepairFailsNothingThatWasSoundIsLost) {
  for (uint64_t n = 1;; ++n) {
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
