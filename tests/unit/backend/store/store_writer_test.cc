#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "backend/store/names.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"
#include "tests/support/exhaustive.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_limit.h"
#include "tests/unit/backend/store/store_test_util.h"

namespace slacker {
namespace {

using testing::AddSample;
using testing::CheckSamples;
using testing::FakeBackend;
using testing::FaultyBackend;
using testing::MakeSampleLayer;
using testing::PublishSamples;
using testing::SampleChain;
using testing::SampleImage;
using testing::SampleLayer;
using testing::SamplePlatform;
using testing::StatusIs;

std::vector<std::string> PackNames(Backend& backend) {
  std::vector<std::string> packs;
  const std::vector<std::string> names = backend.List(kPacksPrefix).value();
  for (const std::string& name : names) {
    if (!ParsePackIndexName(name).ok()) packs.push_back(name);
  }
  return packs;
}

class StoreWriterTest : public ::testing::Test {
 protected:
  const std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  std::vector<SampleLayer> samples_ = {MakeSampleLayer(1), MakeSampleLayer(2)};
};

TEST_F(StoreWriterTest, PublishedImageReadsBack) {
  ASSERT_OK(PublishSamples(backend_, samples_));
  EXPECT_OK(CheckSamples(backend_, samples_));
}

TEST_F(StoreWriterTest, WithoutThreadsPublishingFails) {
  const testing::ThreadLimit none(0);
  EXPECT_THAT(PublishSamples(backend_, samples_), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(StoreWriterTest, EveryPrefixHasAManifest) {
  ASSERT_OK(PublishSamples(backend_, samples_));
  EXPECT_OK(CheckSamples(backend_, {samples_[0]}));
}

TEST_F(StoreWriterTest, LayerWithoutContentNeedsNoPack) {
  SampleLayer empty;
  empty.layer.diff_id = Sha256::Of("empty");
  empty.layer.nodes.emplace_back();
  empty.layer.entries.emplace_back();
  ASSERT_OK(PublishSamples(backend_, {empty}));
  EXPECT_OK(CheckSamples(backend_, {empty}));
  EXPECT_TRUE(backend_->List(kPacksPrefix).value().empty());
}

TEST_F(StoreWriterTest, SecondPublicationLeavesEverythingAsItIs) {
  const auto contents = [this] {
    std::map<std::string, std::string> all;
    const auto names = backend_->List("").value();
    for (const std::string& name : names) all[name] = backend_->ReadWhole(name, 1 << 20).value();
    return all;
  };
  ASSERT_OK(PublishSamples(backend_, samples_));
  const auto before = contents();
  backend_->ResetCounts();
  ASSERT_OK(PublishSamples(backend_, samples_));
  EXPECT_EQ(contents(), before);
  EXPECT_EQ(backend_->counts().writes, 3u);  // its intent, for each layer and for the image
}

TEST_F(StoreWriterTest, KnownChunksAreNotWrittenAgain) {
  ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
  SampleLayer again = samples_[0];
  again.layer.diff_id = Sha256::Of("another tar of the same files");
  ASSERT_OK(PublishSamples(backend_, {again}));
  EXPECT_EQ(PackNames(*backend_).size(), 1u);
  EXPECT_OK(CheckSamples(backend_, {again}));
}

TEST_F(StoreWriterTest, ChunksWithADamagedIndexAreWrittenAgain) {
  ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
  const std::string index = PackNames(*backend_)[0] + ".idx";
  ASSERT_OK(backend_->Replace(index, "damaged"));
  SampleLayer again = samples_[0];
  again.layer.diff_id = Sha256::Of("another tar of the same files");
  testing::AddSampleFile(&again, 0, "more", "one more file, so that the pack is another");
  again.layer.tar_pieces.clear();
  again.layer.tar_literals = {};
  again.layer.tar_size_bytes = 0;
  ASSERT_OK(PublishSamples(backend_, {again}));
  EXPECT_EQ(PackNames(*backend_).size(), 2u);
  EXPECT_OK(CheckSamples(backend_, {again}));
}

TEST_F(StoreWriterTest, LayerWhosePackIsGoneOrCutShortIsNotFoundAndRepairedByPublishing) {
  ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
  const Digest chain = SampleChain({samples_[0]});
  const StoreReader reader(backend_);
  for (const bool remove : {false, true}) {
    // Chunks are packed in the order in which they were compressed: a repair may well make a pack of another name.
    ASSERT_OK_AND_ASSIGN(const Manifest manifest, reader.ReadManifest(chain));
    const size_t chunks = samples_[0].layer.chunks.size();
    ASSERT_OK_AND_ASSIGN(const Locations locations,
                         reader.ReadLocations(manifest.layers[0].record, chunks));
    const std::string pack = locations.packs.at(0);
    const std::string content = backend_->ReadWhole(pack, 1 << 20).value();
    ASSERT_OK(remove ? backend_->Remove(pack)
                     : backend_->Replace(pack, content.substr(0, content.size() - 1)));
    {
      ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
      EXPECT_FALSE(writer->FindRecord(chain, "", samples_[0].layer.diff_id).value().has_value());
    }
    ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
    EXPECT_OK(CheckSamples(backend_, {samples_[0]}));
  }
}

// Without its index a pack is unknown; the new one may well get the same name.
TEST_F(StoreWriterTest, DamagedPackOfTheSameNameIsReplaced) {
  SampleLayer one;
  one.layer.diff_id = Sha256::Of("one chunk");
  one.layer.nodes.emplace_back();
  one.layer.entries.emplace_back();
  testing::AddSampleFile(&one, 0, "file", std::string(3000, 'x'));
  ASSERT_OK(PublishSamples(backend_, {one}));
  const std::string pack = PackNames(*backend_)[0];
  std::string content = backend_->ReadWhole(pack, 1 << 20).value();
  content.back() = static_cast<char>(content.back() ^ 1);
  ASSERT_OK(backend_->Replace(pack, content));
  ASSERT_OK(backend_->Replace(pack + ".idx", "damaged"));
  ASSERT_OK(PublishSamples(backend_, {one}));
  EXPECT_EQ(PackNames(*backend_), std::vector<std::string>{pack});
  EXPECT_OK(CheckSamples(backend_, {one}));
}

TEST_F(StoreWriterTest, FullPackIsFollowedByAnother) {
  StoreWriter::Options options;
  options.pack_target_bytes = 2048;
  ASSERT_OK(PublishSamples(backend_, samples_, options));
  EXPECT_GT(PackNames(*backend_).size(), 4u);
  EXPECT_OK(CheckSamples(backend_, samples_));
}

// What the index of the only pack says of a chunk.
std::optional<PackedChunk> InOnlyPack(Backend& backend, std::string_view content) {
  const std::vector<std::string> packs = PackNames(backend);
  if (packs.size() != 1) return std::nullopt;
  const auto bytes = backend.ReadWhole(packs[0] + ".idx", 1 << 20);
  const auto index = DecodePackIndex(*bytes, *ParsePackName(packs[0]));
  for (const PackedChunk& chunk : index->chunks) {
    if (chunk.digest == Sha256::Of(content)) return chunk;
  }
  return std::nullopt;
}

TEST_F(StoreWriterTest, WhatDoesNotCompressIsStoredPlainAndAHigherLevelStoresTheRestSmaller) {
  std::string text;  // words in an order that each level finds more in
  for (uint32_t i = 0; text.size() < kMinChunkSize - 16; ++i) {
    text += "word " + std::to_string(i * i % 997) + " ";
  }
  SampleLayer sample = samples_[0];
  AddSampleFile(&sample, 0, "text", text);
  const std::string noise = *std::find_if(sample.chunks.begin(), sample.chunks.end(),
                                          [](const std::string& c) { return c.size() > 2000; });
  std::map<int, uint32_t> stored;
  for (const int level : {1, 19}) {
    const auto backend = std::make_shared<FakeBackend>();
    StoreWriter::Options options;
    options.zstd_level = level;
    ASSERT_OK(PublishSamples(backend, {sample}, options));
    const auto plain = InOnlyPack(*backend, noise), packed = InOnlyPack(*backend, text);
    ASSERT_TRUE(plain.has_value() && packed.has_value());
    EXPECT_FALSE(plain->compressed);
    EXPECT_EQ(plain->stored_bytes, noise.size());
    EXPECT_TRUE(packed->compressed);
    EXPECT_LT(packed->stored_bytes, text.size());
    stored[level] = packed->stored_bytes;
    EXPECT_OK(CheckSamples(backend, {sample}));
  }
  EXPECT_LT(stored[19], stored[1]);
}

TEST_F(StoreWriterTest, RecordIsFoundThroughAnyChainThatEndsInIt) {
  ASSERT_OK(PublishSamples(backend_, samples_));
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
  const auto finds = [&writer](const Digest& chain, const Digest& diff_id) {
    return writer->FindRecord(chain, "", diff_id).value();
  };
  const auto found = finds(SampleChain(samples_), samples_[1].layer.diff_id);
  ASSERT_TRUE(found.has_value());
  ASSERT_OK_AND_ASSIGN(const DecodedRecord record, StoreReader(backend_).ReadLayer(found->record));
  EXPECT_EQ(record.layer.diff_id, samples_[1].layer.diff_id);
  EXPECT_EQ(found->totals.entries, record.layer.entries.size());
  EXPECT_EQ(found->totals.chunks, record.layer.chunks.size());
  EXPECT_EQ(finds(Digest{}, samples_[1].layer.diff_id)->record, found->record);
  EXPECT_NE(finds(SampleChain(samples_), samples_[0].layer.diff_id)->record, found->record);
  EXPECT_FALSE(finds(SampleChain(samples_), Digest{}).has_value());
}

TEST_F(StoreWriterTest, IncompleteOrDamagedRecordIsNotFoundAndRepairedByPublishing) {
  ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
  const Digest chain = SampleChain({samples_[0]});
  const Digest record = StoreReader(backend_).ReadManifest(chain).value().layers[0].record;
  for (const std::string& name : {RecordName(record), TarName(record), LocationsName(record),
                                  ManifestName(chain, std::nullopt)}) {
    for (const bool remove : {false, true}) {
      SCOPED_TRACE(name);
      ASSERT_OK(remove ? backend_->Remove(name) : backend_->Replace(name, "damaged"));
      ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
      EXPECT_FALSE(writer->FindRecord(chain, "", samples_[0].layer.diff_id).value().has_value());
      ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
      EXPECT_OK(CheckSamples(backend_, {samples_[0]}));
    }
  }
}

TEST_F(StoreWriterTest, LayerWithAChunkThatWasNotAddedIsRefused) {
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
  ASSERT_OK_AND_ASSIGN(const LayerTables tables, testing::EncodeTables(samples_[0].layer));
  EXPECT_THAT(writer->AddLayer(tables), StatusIs(absl::StatusCode::kInternal));
  EXPECT_TRUE(backend_->List("records/").value().empty());
}

TEST_F(StoreWriterTest, InvalidArgumentsAreRefused) {
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
  EXPECT_THAT(writer->AddChunk(Digest{}, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(writer->AddChunk(Digest{}, std::string(kMaxChunkSize + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(writer->CommitManifests({}, SamplePlatform(), SampleImage(), ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(StoreWriterTest, APackThatGoesBetweenItsLayerAndTheCommitKeepsTheImageFromBeingSeen) {
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
  ASSERT_OK_AND_ASSIGN(const Digest record, AddSample(*writer, samples_[0]));
  ASSERT_OK(backend_->Remove(PackNames(*backend_).front()));
  EXPECT_THAT(writer->CommitManifests({{samples_[0].layer.diff_id, record}}, SamplePlatform(),
                                      SampleImage(), ""),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_TRUE(backend_->List("manifests/").value().empty());
}

class CondemnedPackTest : public StoreWriterTest {
 protected:
  // A publication of what the store has, whose only pack has gone into the trash meanwhile.
  void SetUp() override {
    ASSERT_OK(PublishSamples(backend_, {samples_[0]}));
    pack_ = PackNames(*backend_).front();
    ASSERT_OK_AND_ASSIGN(writer_, StoreWriter::Open(backend_, {}));
    for (size_t i = 0; i < samples_[0].chunks.size(); ++i) {
      ASSERT_OK(writer_->AddChunk(samples_[0].layer.chunks[i].digest, samples_[0].chunks[i]));
    }
    // What was added has been found in the store: nothing of it is written.
    ASSERT_OK(AddSample(*writer_, samples_[1]));
    ASSERT_OK(backend_->Put(TrashName(pack_), ""));
  }
  absl::StatusOr<Digest> AddLayer() {
    ASSIGN_OR_RETURN(const LayerTables tables, testing::EncodeTables(samples_[0].layer));
    return writer_->AddLayer(tables);
  }

  std::string pack_;
  std::unique_ptr<StoreWriter> writer_;
};

// The copy would have the very bytes of the condemned pack, and so its name.
TEST_F(CondemnedPackTest, WhatItHasIsStoredOnceMoreUnderAnotherName) {
  const uint64_t before = writer_->stored_bytes();
  ASSERT_OK_AND_ASSIGN(const Digest record, AddLayer());
  EXPECT_GT(writer_->stored_bytes(), before);
  const StoreReader reader(backend_);
  ASSERT_OK_AND_ASSIGN(const Locations locations,
                       reader.ReadLocations(record, samples_[0].chunks.size()));
  EXPECT_THAT(locations.packs, ::testing::SizeIs(1));
  EXPECT_NE(locations.packs.front(), pack_);
  ASSERT_OK(backend_->Remove(pack_));
  ASSERT_OK(writer_->CommitManifests({{samples_[0].layer.diff_id, record}}, SamplePlatform(),
                                     SampleImage(), ""));
  EXPECT_OK(CheckSamples(backend_, {samples_[0]}));
}

TEST_F(CondemnedPackTest, TheNextLayerWithTheSameChunksFindsTheCopy) {
  ASSERT_OK(AddLayer());
  const size_t packs = PackNames(*backend_).size();
  samples_[0].layer.diff_id = Sha256::Of("another layer of the same files");
  ASSERT_OK_AND_ASSIGN(const Digest record, AddLayer());
  EXPECT_THAT(PackNames(*backend_), ::testing::SizeIs(packs));
  ASSERT_OK(backend_->Remove(pack_));
  ASSERT_OK(writer_->CommitManifests({{samples_[0].layer.diff_id, record}}, SamplePlatform(),
                                     SampleImage(), ""));
  EXPECT_OK(CheckSamples(backend_, {samples_[0]}));
}

TEST_F(CondemnedPackTest, WhatIsDamagedThereIsNotCopied) {
  ASSERT_OK_AND_ASSIGN(std::string bytes, backend_->ReadWhole(pack_, 64 << 20));
  for (const bool cut : {false, true}) {
    if (cut) bytes.resize(bytes.size() / 2);
    bytes[bytes.size() / 2 - 1] ^= 1;
    ASSERT_OK(backend_->Replace(pack_, bytes));
    EXPECT_THAT(AddLayer(), StatusIs(absl::StatusCode::kAborted));
  }
  EXPECT_THAT(backend_->List("records/").value(), ::testing::SizeIs(2));  // those of before
  writer_->EndLayers();  // what was copied before the damage was met is on its way no more
}

TEST_F(StoreWriterTest, NothingIsVisibleBeforeCommitManifests) {
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {}));
  ASSERT_OK(AddSample(*writer, samples_[0]));
  EXPECT_TRUE(backend_->List("manifests/").value().empty());
  EXPECT_TRUE(backend_->List("images/").value().empty());
}

TEST_F(StoreWriterTest, ChunksOfManyThreadsAllArrive) {
  ASSERT_OK_AND_ASSIGN(auto writer, StoreWriter::Open(backend_, {3, 100'000}));
  SampleLayer sample;
  sample.layer.nodes.emplace_back();
  sample.layer.entries.emplace_back();
  for (int i = 0; i < 400; ++i) {
    testing::AddSampleFile(&sample, 0, "file" + std::to_string(i),
                           std::string(3000, static_cast<char>(i % 250)) + std::to_string(i));
  }
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < sample.chunks.size(); ++i) {
        const size_t k = (i + t * 100) % sample.chunks.size();  // every thread adds every chunk
        EXPECT_OK(writer->AddChunk(sample.layer.chunks[k].digest, sample.chunks[k]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const LayerTables tables, testing::EncodeTables(sample.layer));
  ASSERT_OK_AND_ASSIGN(const Digest record, writer->AddLayer(tables));
  const std::vector<ManifestLayer> layers = {{sample.layer.diff_id, record}};
  ASSERT_OK(writer->CommitManifests(layers, SamplePlatform(), SampleImage(), ""));
  EXPECT_OK(CheckSamples(backend_, {sample}));
}

// Fails every call of a publication in turn, alone and with all that follow. Afterwards nothing is
// half-visible, and publishing again succeeds.
TEST_F(StoreWriterTest, FailureOfAnyCallLeavesNothingHalfVisible) {
  const absl::Status full = ResourceExhausted("full");
  StoreWriter::Options options;
  options.pack_target_bytes = 4096;
  for (const bool for_good : {false, true}) {
    for (uint64_t n = 1;; n += testing::kPlaceStep) {
      SCOPED_TRACE(n);
      const auto memory = std::make_shared<MemoryBackend>();
      const auto faulty = std::make_shared<FaultyBackend>(memory);
      for_good ? faulty->FailFrom(n, full) : faulty->FailCall(n, full);
      const absl::Status status = PublishSamples(faulty, samples_, options);
      const bool failed_one = faulty->calls() >= n;
      faulty->Heal();
      for (const auto& prefix : {samples_, {samples_[0]}}) {
        const absl::Status seen = CheckSamples(memory, prefix);
        EXPECT_TRUE(seen.ok() || absl::IsNotFound(seen)) << seen;
        // Whatever has a manifest is complete.
        if (status.ok() || StoreReader(memory).ReadManifest(SampleChain(prefix)).ok()) {
          EXPECT_OK(seen);
        }
      }
      ASSERT_OK(PublishSamples(faulty, samples_, options));
      ASSERT_OK(CheckSamples(memory, samples_));
      if (!failed_one) break;
    }
  }
}

TEST_F(StoreWriterTest, TwoPublishersOfOneImageBothSucceed) {
  const testing::TempDir directory;
  const std::shared_ptr<Backend> store =
      LoopbackBackend::Open(directory.path(), LoopbackBackend::Missing::kFail).value();
  std::vector<std::thread> publishers;
  for (int i = 0; i < 4; ++i) {
    publishers.emplace_back([&] { EXPECT_OK(PublishSamples(store, samples_)); });
  }
  for (std::thread& publisher : publishers) publisher.join();
  EXPECT_OK(CheckSamples(store, samples_));
  EXPECT_EQ(ListImages(*store).value().size(), 1u);
}

}  // namespace
}  // namespace slacker
