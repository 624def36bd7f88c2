#include "backend/store/known_chunks.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/codec.h"
#include "backend/store/index_file.h"
#include "backend/store/names.h"
#include "backend/store/pack_writer.h"
#include "tests/support/exhaustive.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/store/huge_bucket.h"

namespace slacker {
namespace {

using testing::FakeBackend;
using testing::FaultyBackend;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

std::string Content(int pack, int chunk) {
  // Hexadecimal digits: what can be compressed.
  return absl::BytesToHexString(testing::RandomBytes(100, pack * 1'000'000 + chunk));
}
Digest Id(int pack, int chunk) { return Sha256::Of(Content(pack, chunk)); }

class KnownChunksTest : public ::testing::Test {
 protected:
  static constexpr int kChunks = 150;

  // A pack with the chunks (pack, 0) to (pack, count - 1).
  void WritePack(int pack, int count = kChunks) {
    PackWriter writer(backend_.get(), nullptr, {});
    for (int i = 0; i < count; ++i) ASSERT_OK(writer.Add(Id(pack, i), Content(pack, i)));
    ASSERT_OK(writer.Flush());
  }
  IndexMerge Merge() {
    const IndexCatalog catalog = OpenIndexes(*backend_).value();
    return MergeIndexes(*backend_, catalog).value();
  }
  int Known(KnownChunks& known, int pack) {
    int count = 0;
    for (int i = 0; i < kChunks; ++i) {
      const auto found = known.Find(Id(pack, i));
      EXPECT_OK(found.status());
      if (!found.ok() || !found->has_value()) continue;
      const KnownChunk& at = **found;
      const std::string stored =
          backend_->Read(PackName(at.pack), at.offset, at.stored_bytes).value();
      EXPECT_EQ(at.compressed ? Content(pack, i) : stored, Content(pack, i));
      ++count;
    }
    return count;
  }
  void Damage(const std::string& name, size_t at) {
    std::string bytes = backend_->ReadWhole(name, 1 << 24).value();
    bytes.at(at) = static_cast<char>(bytes[at] ^ 1);
    ASSERT_OK(backend_->Replace(name, bytes));
  }

  const std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
};

TEST_F(KnownChunksTest, NothingIsReadBeforeTheFirstQuestion) {
  WritePack(1);
  backend_->ResetCounts();
  KnownChunks known(backend_.get(), {});
  EXPECT_EQ(backend_->counts().reads, 0u);
  EXPECT_TRUE(known.Find(Id(1, 0)).value().has_value());
  EXPECT_FALSE(known.Find(Sha256::Of("unknown")).value().has_value());
}

TEST_F(KnownChunksTest, AMergedIndexStandsForThoseOfItsPacksAndAnswersWithOneRead) {
  for (int pack = 0; pack < 5; ++pack) WritePack(pack);
  const IndexMerge merge = Merge();
  EXPECT_EQ(merge.chunks, 5u * kChunks);
  EXPECT_THAT(backend_->List(kIndexesPrefix).value(), SizeIs(1));
  KnownChunks known(backend_.get(), {});
  EXPECT_TRUE(known.Find(Id(0, 0)).value().has_value());
  backend_->ResetCounts();
  EXPECT_TRUE(known.Find(Id(4, 7)).value().has_value());
  EXPECT_FALSE(known.Find(Sha256::Of("unknown")).value().has_value());
  EXPECT_EQ(backend_->counts().reads, 2u);
  EXPECT_LT(backend_->counts().bytes_read, 2 * 10'000u);
  for (int pack = 0; pack < 5; ++pack) EXPECT_EQ(Known(known, pack), kChunks);
}

TEST_F(KnownChunksTest, MergesGrowAndReplaceWhatTheyStandFor) {
  WritePack(1);
  WritePack(2);
  const std::string first = Merge().written;
  EXPECT_THAT(Merge().written, IsEmpty());  // nothing new
  WritePack(3);
  const IndexMerge second = Merge();
  EXPECT_THAT(second.superseded, ::testing::ElementsAre(first));
  EXPECT_THAT(backend_->List(kIndexesPrefix).value(), ::testing::ElementsAre(second.written));
  WritePack(4, 10);  // much smaller than what is merged
  WritePack(5, 10);
  EXPECT_THAT(Merge().superseded, IsEmpty());
  EXPECT_THAT(backend_->List(kIndexesPrefix).value(), SizeIs(2));
  KnownChunks known(backend_.get(), {});
  EXPECT_EQ(Known(known, 1) + Known(known, 2) + Known(known, 3), 3 * kChunks);
  EXPECT_EQ(Known(known, 4) + Known(known, 5), 20);
}

TEST_F(KnownChunksTest, TooManyLooseChunksAreMergedFirst) {
  for (int pack = 0; pack < 4; ++pack) WritePack(pack);
  KnownChunks known(backend_.get(), {}, /*max_loose_chunks=*/2 * kChunks);
  for (int pack = 0; pack < 4; ++pack) EXPECT_EQ(Known(known, pack), kChunks);
  EXPECT_THAT(backend_->List(kIndexesPrefix).value(), SizeIs(1));
}

TEST_F(KnownChunksTest, AChunkInADamagedPartIsUnknownAndOthersAreKnown) {
  for (int pack = 0; pack < 3; ++pack) WritePack(pack);
  Damage(Merge().written, 100);
  KnownChunks known(backend_.get(), {});
  const int found = Known(known, 0) + Known(known, 1) + Known(known, 2);
  EXPECT_LT(found, 3 * kChunks);
  EXPECT_GT(found, 2 * kChunks);
}

TEST_F(KnownChunksTest, WithADamagedDirectoryTheIndexesOfThePacksAreUsed) {
  WritePack(1);
  WritePack(2);
  const std::string merged = Merge().written;
  Damage(merged, backend_->Stat(merged)->size_bytes - 60);
  KnownChunks known(backend_.get(), {});
  EXPECT_EQ(Known(known, 1) + Known(known, 2), 2 * kChunks);
}

TEST_F(KnownChunksTest, BesideAnIndexThatNobodyCanReadChunksAreKnownAndNewOnesAreUnknown) {
  WritePack(1, 20);
  WritePack(2, 20);
  const std::string merged = Merge().written;
  ASSERT_OK(backend_->Replace(
      merged, testing::WithRows(backend_->ReadWhole(merged, 1 << 24).value(),
                                ParseIndexName(merged).value(), testing::kUnreadableRows)));
  KnownChunks known(backend_.get(), {});
  EXPECT_TRUE(known.Find(Id(1, 0)).value().has_value());
  EXPECT_TRUE(known.Find(Id(2, 0)).value().has_value());
  ASSERT_OK_AND_ASSIGN(const auto unknown, known.Find(Sha256::Of("unknown")));
  EXPECT_FALSE(unknown.has_value());
  EXPECT_EQ(Merge().written, merged);
  EXPECT_THAT(OpenIndexes(*backend_)->merged, SizeIs(1));
}

TEST_F(KnownChunksTest, BucketsThatTogetherAreMoreThanOneReadMayHaveAreReadInSeveral) {
  const Digest id = MergedIndexId({});
  IndexEncoder encoder(id, {}, /*rows=*/1024);
  ASSERT_EQ(encoder.bits(), 4u);
  ASSERT_OK(
      backend_->Replace(IndexName(id), testing::WithRows(encoder.Finish(), id, kMaxBucketRows, 4)));
  ASSERT_OK_AND_ASSIGN(const IndexFile file, IndexFile::Open(backend_.get(), IndexName(id), id));
  uint64_t damaged = 0;
  ASSERT_OK_AND_ASSIGN(const auto rows, file.ReadBuckets(0, 16, &damaged));
  EXPECT_THAT(rows, IsEmpty());
  EXPECT_EQ(damaged, 16u) << "all of them are zeros";
}

TEST_F(KnownChunksTest, AnIndexThatWasMergedByOthersMeanwhileIsLookedForAgain) {
  WritePack(1);
  WritePack(2);
  (void)Merge();
  KnownChunks known(backend_.get(), {});
  EXPECT_TRUE(known.Find(Id(1, 0)).value().has_value());
  WritePack(3);
  (void)Merge();
  EXPECT_EQ(Known(known, 1) + Known(known, 2), 2 * kChunks);
}

TEST_F(KnownChunksTest, PacksThatAreGoneCutShortOrCondemnedDoNotCount) {
  for (int pack = 0; pack < 4; ++pack) WritePack(pack);
  std::vector<std::string> packs;
  for (int pack = 0; pack < 4; ++pack) {
    KnownChunks all(backend_.get(), {});
    packs.push_back(PackName(all.Find(Id(pack, 0)).value()->pack));
  }
  for (const bool merged : {false, true}) {
    if (merged) (void)Merge();
    KnownChunks known(backend_.get(), {TrashName(packs[0])});
    EXPECT_EQ(Known(known, 0), 0);
    if (!merged) {
      ASSERT_OK(backend_->Remove(packs[1]));
      const std::string content = backend_->ReadWhole(packs[2], 1 << 24).value();
      ASSERT_OK(backend_->Replace(packs[2], content.substr(1)));
    }
    EXPECT_EQ(Known(known, 1), 0);
    EXPECT_EQ(Known(known, 2), 0);
    EXPECT_EQ(Known(known, 3), kChunks);
  }
}

TEST_F(KnownChunksTest, AStoreThatDoesNotAnswerIsAnErrorWhateverCallFails) {
  WritePack(1);
  WritePack(2);
  (void)Merge();
  WritePack(3);
  FaultyBackend faulty(backend_);
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    faulty.FailCall(n, absl::UnavailableError("away"));
    KnownChunks known(&faulty, {});
    const auto found = known.Find(Id(1, 0));
    if (faulty.calls() < n) break;
    EXPECT_THAT(found.status(), StatusIs(absl::StatusCode::kUnavailable)) << n;
    faulty.Heal();
    EXPECT_TRUE(known.Find(Id(1, 0)).value().has_value()) << n;
  }
}

TEST_F(KnownChunksTest, AMergeThatFailsAtAnyCallLeavesEveryChunkKnown) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    for (const char* prefix : {"packs/", "indexes/"}) {
      const auto names = backend_->List(prefix).value();
      for (const std::string& name : names) ASSERT_OK(backend_->Remove(name));
    }
    WritePack(1);
    WritePack(2);
    (void)Merge();
    WritePack(3);
    FaultyBackend faulty(backend_);
    faulty.FailFrom(n, absl::UnavailableError("away"));
    const auto catalog = OpenIndexes(faulty);
    const auto merge = catalog.ok() ? MergeIndexes(faulty, *catalog) : catalog.status();
    KnownChunks known(backend_.get(), {});
    EXPECT_EQ(Known(known, 1) + Known(known, 2) + Known(known, 3), 3 * kChunks) << n;
    if (merge.ok()) break;
    EXPECT_THAT(merge.status(), StatusIs(absl::StatusCode::kUnavailable)) << n;
  }
}

TEST_F(KnownChunksTest, ChunksLieInAPackInTheOrderInWhichTheyWereAdded) {
  StoreWriter::Options options;
  options.pack_target_bytes = 4000;
  std::string chunks;  // digests
  for (const bool again : {false, true}) {
    PackWriter writer(backend_.get(), nullptr, options);
    chunks.clear();
    for (int i = 0; i < kChunks; ++i) {
      chunks += AsText(Id(1, i).bytes);
      ASSERT_OK(writer.Add(Id(1, i), Content(1, i)));
    }
    ASSERT_OK(writer.Flush());
    ASSERT_OK_AND_ASSIGN(const Locations locations, writer.Locate(PagedBytes(chunks)));
    ASSERT_GT(locations.packs.size(), 3u);
    for (size_t i = 1; i < locations.chunks.size(); ++i) {
      const ChunkLocation& before = locations.chunks[i - 1];
      const ChunkLocation& at = locations.chunks[i];
      if (at.pack == before.pack) {
        EXPECT_EQ(at.offset, before.offset + before.stored_bytes);
      } else {
        EXPECT_EQ(at.pack, before.pack + 1);
        EXPECT_EQ(at.offset, PackHeader().size());
      }
    }
    // Equal publications make equal packs.
    EXPECT_THAT(backend_->List(kPacksPrefix).value(), SizeIs(2 * locations.packs.size())) << again;
  }
}

TEST_F(KnownChunksTest, APackWhoseNameIsCondemnedGetsAnotherOne) {
  WritePack(1);
  const std::string name = backend_->List(kPacksPrefix).value().front();
  KnownChunks known(backend_.get(), {TrashName(name)});
  PackWriter writer(backend_.get(), &known, {});
  std::string chunks;  // digests
  for (int i = 0; i < kChunks; ++i) {
    chunks += AsText(Id(1, i).bytes);
    ASSERT_OK(writer.Add(Id(1, i), Content(1, i)));
  }
  ASSERT_OK(writer.Flush());
  ASSERT_OK_AND_ASSIGN(const Locations locations, writer.Locate(PagedBytes(chunks)));
  ASSERT_THAT(locations.packs, SizeIs(1));
  EXPECT_NE(locations.packs[0], name);
}

}  // namespace
}  // namespace slacker
