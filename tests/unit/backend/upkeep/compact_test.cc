#include "backend/upkeep/compact.h"

#include <algorithm>
#include <set>

#include "backend/store/pack_index.h"
#include "backend/upkeep/chunk_mover.h"
#include "backend/upkeep/stats.h"
#include "backend/upkeep/trash.h"
#include "tests/support/exhaustive.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/oci_image.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using testing::CheckSamples;
using testing::FaultyBackend;
using ::testing::IsEmpty;
using testing::MakeSampleLayer;
using testing::SampleLayer;
using ::testing::SizeIs;
using testing::StatusIs;

class CompactTest : public testing::UpkeepTest {
 protected:
  std::vector<std::string> Packs() {
    std::vector<std::string> packs = Names("packs/");
    std::erase_if(packs, [](const std::string& name) { return name.ends_with(".idx"); });
    return packs;
  }
  // How often each chunk is in a pack that is not condemned.
  std::map<Digest, int> Copies() {
    std::map<Digest, int> copies;
    for (const std::string& pack : Packs()) {
      if (store_->Stat(TrashName(pack)).ok()) continue;
      const auto id = ParsePackName(pack).value();
      const std::string bytes = store_->ReadWhole(PackIndexName(id), 1 << 20).value();
      const PackIndex index = DecodePackIndex(bytes, id).value();
      for (const PackedChunk& chunk : index.chunks) {
        ++copies[chunk.digest];
      }
    }
    return copies;
  }
  void Reset() {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
  }
};

TEST_F(CompactTest, SmallPacksBecomeOneAndTheOldOnesGoAfterTheGrace) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {base_, two_}));
  const auto before = Packs();
  ASSERT_THAT(before, SizeIs(3));
  ASSERT_OK_AND_ASSIGN(const CompactReport report, Compact(*store_, {}));
  EXPECT_EQ(report.packs_before, 3u);
  EXPECT_EQ(report.packs_after, 1u);
  EXPECT_EQ(report.packs_condemned, 3u);
  EXPECT_EQ(report.locations_replaced, 3u);
  EXPECT_THAT(report.damaged, IsEmpty());
  ExpectSound();
  for (const std::string& pack : before) EXPECT_OK(store_->Stat(pack).status());
  store_->Advance(kDefaultGraceSeconds);
  (void)Gc();
  EXPECT_THAT(Packs(), SizeIs(1));
  EXPECT_THAT(Names("intents/"), IsEmpty());
  ExpectSound();
}

TEST_F(CompactTest, ASecondCompactionHasNothingToDo) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Compact(*store_, {}).status());
  const auto before = Names();
  ASSERT_OK_AND_ASSIGN(const CompactReport report, Compact(*store_, {}));
  EXPECT_EQ(report.chunks_moved, 0u);
  EXPECT_EQ(report.locations_replaced, 0u);
  EXPECT_EQ(Names(), before);
}

TEST_F(CompactTest, ChunksThatNothingRefersToAreLeftOut) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {two_}));
  ASSERT_OK(Rm("two"));
  ASSERT_OK(Compact(*store_, {}).status());
  std::set<Digest> wanted;
  for (const SampleLayer* sample : {&base_, &one_}) {
    for (const Chunk& chunk : sample->layer.chunks) wanted.insert(chunk.digest);
  }
  store_->Advance(kDefaultGraceSeconds);
  (void)Gc();
  store_->Advance(kDefaultGraceSeconds);
  (void)Gc();
  const auto copies = Copies();
  EXPECT_EQ(copies.size(), wanted.size());
  ExpectSound();
}

// Two publishers that did not see each other stored the same chunks.
TEST_F(CompactTest, WhatIsStoredTwiceIsStoredOnceAfterwards) {
  SampleLayer other = base_;
  other.layer.diff_id = Sha256::Of("other");
  testing::AddSampleFile(&other, 0, "more", "so that the pack is another");
  other.layer.tar_pieces.clear();
  other.layer.tar_literals = {};
  other.layer.tar_size_bytes = 0;
  const auto elsewhere = std::make_shared<testing::StagedBackend>();
  published_["two"] = {other};
  ASSERT_OK(UpkeepTest::Publish(elsewhere, "two", {other}));
  ASSERT_OK(Publish("one", {base_}));
  const auto names1 = elsewhere->List("").value();
  for (const std::string& name : names1) {
    ASSERT_OK(store_->Put(name, elsewhere->ReadWhole(name, 1 << 20).value()));
  }
  int twice = 0;
  for (const auto& [digest, count] : Copies()) twice += count > 1 ? 1 : 0;
  ASSERT_GT(twice, 0);
  ASSERT_OK_AND_ASSIGN(const CompactReport report, Compact(*store_, {}));
  EXPECT_GT(report.chunks_converged, 0u);
  for (const auto& [digest, count] : Copies()) EXPECT_EQ(count, 1);
  ExpectSound();
}

TEST_F(CompactTest, ChunksLieInTheOrderOfTheRecords) {
  ASSERT_OK(Publish("b", {two_}));
  ASSERT_OK(Publish("a", {base_, one_}));
  ASSERT_OK(Compact(*store_, {}).status());
  const StoreReader reader(store_);
  uint64_t end = PackHeader().size();
  std::set<Digest> seen;
  for (const SampleLayer* sample : {&base_, &one_, &two_}) {
    const Digest chain =
        sample == &one_ ? testing::SampleChain({base_, one_}) : testing::SampleChain({*sample});
    ASSERT_OK_AND_ASSIGN(const Manifest manifest, reader.ReadManifest(chain));
    const auto& chunks = sample->layer.chunks;
    ASSERT_OK_AND_ASSIGN(const Locations locations,
                         reader.ReadLocations(manifest.layers.back().record, chunks.size()));
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (!seen.insert(chunks[i].digest).second) continue;
      EXPECT_EQ(locations.chunks[i].offset, end);
      end += locations.chunks[i].stored_bytes;
    }
  }
}

// As little as one chunk in memory.
TEST_F(CompactTest, InManyRoundsEverythingMovesOnce) {
  for (const size_t chunks_at_once : {size_t{800'000}, size_t{9}, size_t{3}, size_t{1}}) {
    for (const uint64_t target : {uint64_t{128} << 20, uint64_t{100'000}}) {
      SCOPED_TRACE(std::to_string(chunks_at_once) + " " + std::to_string(target));
      Reset();
      ASSERT_OK(Publish("one", {base_, one_}));
      ASSERT_OK(Publish("two", {base_, two_}));
      ASSERT_OK(Publish("three", {two_, one_}));
      const size_t chunks = Copies().size();
      const CompactOptions options = {.pack_target_bytes = target,
                                      .chunks_at_once = chunks_at_once};
      ASSERT_OK_AND_ASSIGN(const CompactReport report, Compact(*store_, options));
      EXPECT_EQ(report.chunks_moved, chunks);
      ExpectSound();
      for (const auto& [digest, count] : Copies()) EXPECT_EQ(count, 1);
      store_->Advance(kDefaultGraceSeconds);
      (void)Gc();
      ExpectSound();
    }
  }
}

// The copy that counts for more is damaged: who has the other one keeps it.
TEST_F(CompactTest, ASoundCopyIsNotLeftForADamagedOne) {
  for (const bool damage_larger : {false, true}) {
    Reset();
    SampleLayer other = base_;
    other.layer.diff_id = Sha256::Of("other");
    testing::AddSampleFile(&other, 0, "more", std::string(50'000, 'x'));
    other.layer.tar_pieces.clear();
    other.layer.tar_literals = {};
    other.layer.tar_size_bytes = 0;
    const auto elsewhere = std::make_shared<testing::StagedBackend>();
    ASSERT_OK(UpkeepTest::Publish(elsewhere, "two", {other}));
    ASSERT_OK(Publish("one", {base_}));
    const std::string ours = Packs().front();
    const auto names = elsewhere->List("").value();
    std::string theirs;
    for (const std::string& name : names) {
      ASSERT_OK(store_->Put(name, elsewhere->ReadWhole(name, 1 << 20).value()));
      if (name.starts_with("packs/") && !name.ends_with(".idx")) theirs = name;
    }
    const bool ours_is_larger = store_->Stat(ours)->size_bytes > store_->Stat(theirs)->size_bytes;
    const std::string& damaged = damage_larger == ours_is_larger ? ours : theirs;
    std::string bytes = store_->ReadWhole(damaged, 1 << 20).value();
    bytes[PackHeader().size() + 1] = static_cast<char>(bytes[PackHeader().size() + 1] ^ 1);
    ASSERT_OK(store_->Replace(damaged, bytes));
    const auto is_sound = [&](const std::string& image) {
      return testing::CheckSamples(store_, {image == "one" ? base_ : other}).ok();
    };
    const bool one = is_sound("one"), two = is_sound("two");
    ASSERT_NE(one, two);
    ASSERT_OK(Compact(*store_, {}).status());
    EXPECT_TRUE(is_sound("one") || !one);
    EXPECT_TRUE(is_sound("two") || !two);
  }
}

TEST_F(CompactTest, ADamagedChunkStaysWhereItIsWithItsPack) {
  ASSERT_OK(Publish("one", {base_}));
  ASSERT_OK(Publish("two", {two_}));
  const std::string pack = Packs().front();
  std::string bytes = store_->ReadWhole(pack, 1 << 20).value();
  bytes[PackHeader().size() + 1] = static_cast<char>(bytes[PackHeader().size() + 1] ^ 1);
  ASSERT_OK(store_->Replace(pack, bytes));
  ASSERT_OK_AND_ASSIGN(const CompactReport report, Compact(*store_, {}));
  EXPECT_THAT(report.damaged, SizeIs(1));
  EXPECT_EQ(report.packs_condemned, 1u);
  EXPECT_FALSE(store_->Stat(TrashName(pack)).ok());
}

TEST_F(CompactTest, WhateverCallFailsEveryVisibleImageIsSound) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    Reset();
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    FaultyBackend faulty(store_);
    faulty.FailFrom(n, absl::UnavailableError("away"));
    const auto report = Compact(faulty, {});
    ExpectSound();
    (void)Gc(0);
    ExpectSound();
    ASSERT_OK(Compact(*store_, {}).status()) << n;
    (void)Gc(0);
    ExpectSound();
    if (report.ok()) break;
  }
}

// A whole collection without grace, or a whole publication, at every call of a compaction.
TEST_F(CompactTest, CollectionsAndPublicationsInItsMiddleHarmNothing) {
  for (const bool collect : {false, true}) {
    for (uint64_t n = 1;; n += testing::kPlaceStep) {
      Reset();
      ASSERT_OK(Publish("one", {base_, one_}));
      ASSERT_OK(Publish("two", {base_, two_}));
      store_->SetHook([&](uint64_t call) {
        if (call != n) return;
        if (collect) {
          (void)Gc(0);
        } else {
          EXPECT_OK(Publish("three", {base_, one_, two_}));
        }
      });
      const auto report = Compact(*store_, {});
      const uint64_t calls = store_->calls();
      store_->SetHook(nullptr);
      if (!report.ok()) {
        EXPECT_THAT(report.status(), StatusIs(absl::StatusCode::kUnavailable)) << n;
      }
      ExpectSound();
      (void)Gc(0);
      ExpectSound();
      if (calls < n) break;
    }
  }
}

// And the other way round.
// Of a layer in two packs one is packed anew. The other one goes meanwhile, and the layer is published
// again, with packs of other names: locations that lead to the old one must not come back.
TEST_F(CompactTest, APackThatStaysAndGoesAllTheSameInItsMiddleIsNotReferredToAgain) {
  const auto with = [this](uint64_t seed) {
    SampleLayer layer = base_;
    layer.layer.diff_id = Sha256::Of(std::to_string(seed));
    testing::AddSampleFile(&layer, 0, "more", testing::RandomBytes(60'000, seed));
    layer.layer.tar_pieces.clear();
    layer.layer.tar_literals = {};
    layer.layer.tar_size_bytes = 0;
    return layer;
  };
  bool replaced = false;
  for (uint64_t n = 1, calls = 1; n <= calls; n += testing::kPlaceStep) {
    Reset();
    ASSERT_OK(Publish("gone", {with(1)}));
    ASSERT_OK(Publish("one", {with(2)}));
    ASSERT_OK(Rm("gone"));
    (void)Gc(0);
    ASSERT_THAT(Packs(), SizeIs(2));
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      ASSERT_OK(Rm("one"));
      for (const std::string& pack : Packs()) {
        if (!store_->Stat(TrashName(pack)).ok()) {
          ASSERT_OK(Condemn(*store_, pack));
        }
      }
      ASSERT_OK(Publish("one", {with(2)}));
      (void)Gc(0);
    });
    const auto report = Compact(*store_, {.pack_target_bytes = 80'000});
    calls = store_->calls();
    store_->SetHook(nullptr);
    if (report.ok()) {
      replaced = replaced || report->locations_replaced > 0;
    } else {
      EXPECT_THAT(report.status(), StatusIs(absl::StatusCode::kUnavailable));
    }
    ExpectSound();
    (void)Gc(0);
    ExpectSound();
    if (HasFailure()) FAIL() << n;
  }
  EXPECT_TRUE(replaced);
}

TEST_F(CompactTest, CompactionInTheMiddleOfAPublicationHarmsNothing) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    Reset();
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      EXPECT_OK(Compact(*store_, {}).status());
      (void)Gc(0);
    });
    const absl::Status published = Publish("three", {base_, two_, one_});
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    if (!published.ok()) {
      EXPECT_THAT(published, StatusIs(absl::StatusCode::kUnavailable)) << n;
    }
    ExpectSound();
    (void)Gc(0);
    ExpectSound();
    if (calls < n) break;
  }
}

TEST_F(CompactTest, StatsTellWhatIsSharedAndSaved) {
  ASSERT_OK(Publish("one", {base_, one_}));
  ASSERT_OK(Publish("two", {base_, two_}));
  const auto size = [](const SampleLayer& sample) {
    uint64_t bytes = 0;
    for (const Chunk& chunk : sample.layer.chunks) bytes += chunk.size_bytes;
    return bytes;
  };
  ASSERT_OK_AND_ASSIGN(const StoreStats stats, MeasureStore(*store_));
  EXPECT_EQ(stats.images, 2u);
  EXPECT_EQ(stats.layers, 3u);
  EXPECT_EQ(stats.logical_bytes, 2 * size(base_) + size(one_) + size(two_));
  EXPECT_EQ(stats.layer_bytes, size(base_) + size(one_) + size(two_));
  EXPECT_LE(stats.file_bytes, stats.layer_bytes);
  EXPECT_LE(stats.chunk_bytes, stats.file_bytes);
  std::set<Digest> chunks;
  for (const SampleLayer* sample : {&base_, &one_, &two_}) {
    for (const Chunk& chunk : sample->layer.chunks) chunks.insert(chunk.digest);
  }
  EXPECT_EQ(stats.unique_chunks, chunks.size());
  EXPECT_EQ(stats.packs, 3u);
  ASSERT_THAT(stats.per_image, SizeIs(2));
  EXPECT_GT(stats.per_image[0].shared_bytes, 0u);
  EXPECT_LT(stats.per_image[0].shared_bytes, stats.per_image[0].stored_bytes);
  uint64_t total = kReserveBytes;
  for (const std::string& name : Names()) total += store_->Stat(name)->size_bytes;
  EXPECT_EQ(stats.total_bytes, total);
}

TEST_F(CompactTest, StatsBesideTheRemovalOfAnImageTellOfTheOthers) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    SCOPED_TRACE(n);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      EXPECT_OK(Rm("two"));
      (void)Gc(0);
    });
    const auto stats = MeasureStore(*store_);
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ASSERT_OK(stats.status());
    ASSERT_FALSE(stats->per_image.empty());
    EXPECT_EQ(stats->per_image[0].entry.name, "one");
    EXPECT_GT(stats->per_image[0].stored_bytes, 0u);
    if (calls < n) break;
  }
}

TEST_F(CompactTest, StatsOfADamagedImageFail) {
  ASSERT_OK(Publish("one", {base_, one_}));
  for (const std::string_view prefix : {kManifestsPrefix, kRecordsPrefix, kImagesPrefix}) {
    const std::string name = Names(std::string(prefix))[0];
    const std::string sound = store_->ReadWhole(name, 1 << 20).value();
    ASSERT_OK(store_->Replace(name, "damaged"));
    EXPECT_THAT(MeasureStore(*store_).status(), StatusIs(absl::StatusCode::kDataLoss)) << name;
    ASSERT_OK(store_->Replace(name, sound));
  }
}

TEST_F(CompactTest, NoPackHasMoreChunksThanItsIndexMayList) {
  constexpr uint32_t kChunkBytes = 4;
  std::string bytes = PackHeader();
  Layer layer;
  Places places;
  for (uint32_t i = 0; i <= kMaxPackChunks; ++i) {
    const std::string chunk(reinterpret_cast<const char*>(&i), kChunkBytes);
    layer.chunks.push_back({.digest = Sha256::Of(chunk), .size_bytes = kChunkBytes});
    places[layer.chunks.back().digest] = {bytes.size(), 0, kChunkBytes, kChunkBytes, false, false};
    bytes += chunk;
  }
  const Digest id = Sha256::Of(bytes);
  ASSERT_OK(store_->Put(PackName(id), bytes));
  PackTable packs;
  ASSERT_OK(packs.NumberOf(*store_, PackName(id)));
  const absl::flat_hash_set<uint32_t> chosen = {0};
  CompactReport report;
  ChunkMover mover(store_.get(), uint64_t{128} << 20, &packs, &chosen, &report);
  ASSERT_OK(mover.Move(layer, &places));
  ASSERT_OK(mover.Finish());
  EXPECT_EQ(report.chunks_moved, kMaxPackChunks + 1);
  EXPECT_EQ(report.packs_written, 2u);
  size_t listed = 0;
  for (uint32_t pack = 1; pack < packs.size(); ++pack) {
    const std::string index =
        store_->ReadWhole(PackIndexName(packs[pack].id), kMaxPackIndexBytes).value();
    ASSERT_OK_AND_ASSIGN(const PackIndex decoded, DecodePackIndex(index, packs[pack].id));
    listed += decoded.chunks.size();
  }
  EXPECT_EQ(listed, kMaxPackChunks + 1);
}

}  // namespace
}  // namespace slacker
