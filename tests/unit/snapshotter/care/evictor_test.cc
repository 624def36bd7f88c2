#include "snapshotter/care/evictor.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

constexpr auto kAMoment = std::chrono::milliseconds(1);
constexpr uint32_t kChunks = 30;

class EvictorTest : public testing::NodeTest {
 protected:
  // Two images of one layer each, present and without containers.
  struct Image {
    testing::PublishedImage published;
    BlobRow row;
    std::shared_ptr<LayerBlob> blob;  // shared with the filler
  };

  void SetUp() override {
    for (uint32_t seed = 1; seed <= 2; ++seed) {
      images_published_.push_back(
          {testing::Publish(store_, {testing::MakeBigLayer(kChunks, seed)}), {}, {}});
    }
    NodeTest::SetUp();
    clock_.Advance(std::chrono::hours(1));
    for (Image& image : images_published_) Pull(image);
  }
  void Pull(Image& image) {
    ASSERT_OK(images_->Ensure(image.published.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image.published.chain());
    image.row = LayersOf(image.published.chain())[0];
    ASSERT_OK_AND_ASSIGN(image.blob, filler_->Find(image.row.id));
  }
  void TearDown() override {
    evictor_.reset();
    NodeTest::TearDown();
  }
  Image& image(size_t i) { return images_published_[i]; }
  const Digest& chain(size_t i) { return image(i).published.chain(); }

  // Brings all of it as completion does: nobody has read it.
  void Fill(size_t i) {
    std::promise<absl::Status> done;
    filler_->FillAsync(image(i).blob, 0, Count(i),
                       [&](const absl::Status& status) { done.set_value(status); });
    ASSERT_OK(done.get_future().get());
    EXPECT_TRUE(testing::Eventually([&] { return !image(i).blob->HasFills(); }));
    ASSERT_TRUE(image(i).blob->cache().IsFull());
  }
  void Seal(size_t i) {
    BlobCache& cache = image(i).blob->cache();
    ASSERT_OK(cache.Seal(cache.drops()));
  }
  uint32_t Count(size_t i) { return static_cast<uint32_t>(image(i).blob->layer().chunks.size()); }
  uint32_t Cached(size_t i) {
    uint32_t cached = 0;
    for (uint32_t chunk = 0; chunk < Count(i); ++chunk)
      cached += image(i).blob->cache().Has(chunk) ? 1 : 0;
    return cached;
  }
  void ReadChunks(size_t i, uint32_t first, uint32_t last) {
    const auto& chunks = image(i).blob->layer().chunks;
    const uint64_t from = chunks[first].blob_offset;
    const uint64_t to = chunks[last - 1].blob_offset + chunks[last - 1].size_bytes;
    ASSERT_OK(Read(image(i).row.id, from, static_cast<uint32_t>(to - from)));
    EXPECT_TRUE(testing::Eventually([&] { return !image(i).blob->HasFills(); }));
  }
  // Used so many days ago.
  void SetLastUse(size_t i, int64_t days) {
    const timespec now{.tv_sec = time(nullptr) - days * 86400, .tv_nsec = 0};
    const timespec times[2] = {now, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
    const std::string path = dir_ / ("blobs/" + std::to_string(image(i).row.id) + ".data");
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  uint64_t CacheBytes() {
    const auto usage = CacheSpace::MeasureDirectory(dir_ / "blobs", true);
    EXPECT_OK(usage);
    return usage->cache_bytes;
  }

  void Start(const CacheSpace::Limits& limits) {
    space_ = std::make_unique<CacheSpace>(limits, [this]() -> absl::StatusOr<CacheUsage> {
      ++looks_;
      ASSIGN_OR_RETURN(CacheUsage usage, CacheSpace::MeasureDirectory(dir_ / "blobs", true));
      usage.disk_bytes = disk_bytes_;
      usage.free_bytes = disk_bytes_ - usage.cache_bytes;
      return usage;
    });
    Evictor::Options options;
    options.db = db_.get();
    options.filler = filler_.get();
    options.mounter = &mounter_;
    options.space = space_.get();
    options.collect = [this] { return images_->Collect(); };
    options.ask_store = [this](const Digest& record, size_t chunks) {
      ++asked_;
      return images_->AskForChunks(record, chunks);
    };
    options.interval = kAMoment;
    options.quiet = std::chrono::nanoseconds::zero();
    evictor_ = std::make_unique<Evictor>(std::move(options));
  }
  // Whole runs, whatever came of them.
  void WaitForRuns(uint64_t count) {
    const uint64_t until = looks_ + 2 * count + 2;
    EXPECT_TRUE(testing::Eventually([&] { return looks_ >= until; }));
  }
  // The limit at which an eviction from here takes about this part of the two images.
  uint64_t LimitFor(double part) {
    return static_cast<uint64_t>(static_cast<double>(CacheBytes()) * (1 - part) * 16 / 15);
  }

  std::vector<Image> images_published_;
  std::atomic<uint64_t> looks_ = 0, asked_ = 0;
  std::atomic<uint64_t> disk_bytes_ = uint64_t{1} << 40;
  std::unique_ptr<CacheSpace> space_;
  std::unique_ptr<Evictor> evictor_;
};

TEST_F(EvictorTest, WithinItsLimitsNothingIsEvictedOrAsked) {
  Fill(0);
  Start({.max_bytes = CacheBytes() + 1, .min_free_percent = 5});
  WaitForRuns(5);
  EXPECT_EQ(Cached(0), Count(0));
  EXPECT_EQ(asked_, 0U);
  EXPECT_EQ(evictor_->Stats().runs, 0U);
}

TEST_F(EvictorTest, TheImageThatWasUsedLongestAgoGoesFirstAndNoMoreThanHasTo) {
  Fill(0);
  Fill(1);
  SetLastUse(0, 1);
  SetLastUse(1, 9);
  const uint64_t limit = LimitFor(0.25);
  Start({.max_bytes = limit, .min_free_percent = 0});
  EXPECT_TRUE(testing::Eventually([&] { return CacheBytes() <= limit; }));
  WaitForRuns(5);
  EXPECT_EQ(Cached(0), Count(0));
  EXPECT_GT(Cached(1), Count(1) / 3);
  EXPECT_LT(Cached(1), Count(1) * 2 / 3);
  EXPECT_EQ(evictor_->Stats().runs, 1U);
  EXPECT_EQ(evictor_->Stats().chunks, Count(1) - Cached(1));
}

// Counted as whole chunks, a sixteenth of them would seem to be enough.
TEST_F(EvictorTest, ChunksThatHaveAFewPagesGiveBackNoMoreThanThose) {
  constexpr uint32_t kPartial = 64;
  images_published_.push_back(
      {testing::Publish(store_, {testing::MakeLayerOfBigChunks(kPartial, 3)}), {}, {}});
  Pull(image(2));
  const std::string content = image(2).published.BlobContent(0);
  for (uint32_t chunk = 0; chunk < kPartial; ++chunk) {
    const uint64_t offset = image(2).blob->ExtentOf(chunk).offset;
    ASSERT_OK(image(2).blob->cache().WritePages(
        offset, std::string_view(content).substr(offset, PageSums::kPageBytes)));
  }
  const uint64_t limit = CacheBytes() - kPartial / 2 * PageSums::kPageBytes;
  Start({.max_bytes = limit, .min_free_percent = 0});
  EXPECT_TRUE(testing::Eventually([&] { return CacheBytes() <= limit; }));
  WaitForRuns(3);
  EXPECT_EQ(evictor_->Stats().runs, 1U);
  EXPECT_EQ(evictor_->Stats().bytes, evictor_->Stats().chunks * PageSums::kPageBytes);
  EXPECT_GT(evictor_->Stats().chunks, kPartial / 2);
}

TEST_F(EvictorTest, WhereTheDiskRunsFullTheSameHappens) {
  Fill(0);
  Fill(1);
  SetLastUse(0, 9);
  disk_bytes_ = CacheBytes() * 10 / 6;
  Start({.max_bytes = 0, .min_free_percent = 50});
  EXPECT_TRUE(testing::Eventually([&] { return evictor_->Stats().runs == 1; }));
  WaitForRuns(5);
  EXPECT_EQ(evictor_->Stats().runs, 1U);
  EXPECT_LT(Cached(0), Count(0) * 2 / 3);
  EXPECT_GT(Cached(0), Count(0) / 3);
  EXPECT_EQ(Cached(1), Count(1));
}

TEST_F(EvictorTest, WhatContainersStandOnComesLast) {
  Fill(0);
  Fill(1);
  SetLastUse(0, 9);
  AddContainer(chain(0));
  Start({.max_bytes = LimitFor(0.4), .min_free_percent = 0});
  EXPECT_TRUE(testing::Eventually([&] { return evictor_->Stats().runs == 1; }));
  WaitForRuns(5);
  EXPECT_EQ(Cached(0), Count(0));
  EXPECT_LT(Cached(1), Count(1) / 2);
}

TEST_F(EvictorTest, UnderContainersWhatNobodyReadGoesFirstThenWhatWasReadLongestAgo) {
  Fill(0);
  AddContainer(chain(0));
  ReadChunks(0, 0, 10);
  clock_.Advance(std::chrono::minutes(1));
  ReadChunks(0, 10, 20);
  clock_.Advance(std::chrono::minutes(1));
  Start({.max_bytes = LimitFor(0.5), .min_free_percent = 0});
  EXPECT_TRUE(testing::Eventually([&] { return evictor_->Stats().runs == 1; }));
  WaitForRuns(3);
  for (uint32_t chunk = 10; chunk < 20; ++chunk) EXPECT_TRUE(image(0).blob->cache().Has(chunk));
  for (uint32_t chunk = 20; chunk < Count(0); ++chunk)
    EXPECT_FALSE(image(0).blob->cache().Has(chunk));
  EXPECT_LT(Cached(0), 20U);
}

TEST_F(EvictorTest, WhatWasReadJustNowStaysAndNothingIsAddedUntilThereIsRoom) {
  AddContainer(chain(0));
  ReadChunks(0, 0, Count(0));
  const uint64_t bytes = CacheBytes();
  const uint64_t limit = bytes / 2;
  ::testing::internal::CaptureStderr();
  Start({.max_bytes = limit, .min_free_percent = 0});
  WaitForRuns(5);
  EXPECT_EQ(Cached(0), Count(0));
  const OverLimit over = evictor_->Describe();
  EXPECT_TRUE(over.over);
  EXPECT_FALSE(over.disk_is_full);
  EXPECT_GE(over.excess_bytes, bytes - limit);
  EXPECT_EQ(over.error, "the rest is in use");
  ReadChunks(1, 0, 5);
  EXPECT_EQ(Cached(1), 0U);
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_TRUE(testing::Eventually([&] { return CacheBytes() <= limit; }));
  WaitForRuns(3);
  EXPECT_FALSE(evictor_->Describe().over);
  ReadChunks(1, 0, 1);
  EXPECT_EQ(Cached(1), 1U);
  const std::string log = ::testing::internal::GetCapturedStderr();
  const auto begins = log.find("blob caches stay over a limit");
  ASSERT_NE(begins, log.npos) << log;
  EXPECT_EQ(log.find("blob caches stay over a limit", begins + 1), log.npos) << "one line: " << log;
  const auto ends = log.find("blob caches are within their limits again", begins);
  ASSERT_NE(ends, log.npos) << log;
  EXPECT_NE(log.find(R"("evicted_bytes":")" + std::to_string(evictor_->Stats().bytes) + "\"", ends),
            log.npos)
      << log;
}

TEST_F(EvictorTest, WhileTheStoreIsSilentNothingIsEvicted) {
  Fill(0);
  Fill(1);
  AddContainer(chain(0));
  faulty_->FailFrom(1, Unavailable("away"));
  Start({.max_bytes = CacheBytes() / 4, .min_free_percent = 0});
  WaitForRuns(10);
  EXPECT_EQ(Cached(0), Count(0));
  EXPECT_EQ(Cached(1), Count(1));
  EXPECT_GT(asked_, 0U);
  faulty_->Heal();
  EXPECT_TRUE(testing::Eventually([&] {
    clock_.Advance(std::chrono::seconds(1));  // for the circuit breaker
    return evictor_->Stats().runs > 0;
  }));
}

TEST_F(EvictorTest, WhatTheStoreHasLostIsNotEvicted) {
  Fill(0);
  Fill(1);
  SetLastUse(0, 9);
  ASSERT_OK(store_->Remove("locations/" + image(0).row.record.ToHex()));
  Start({.max_bytes = LimitFor(0.25), .min_free_percent = 0});
  EXPECT_TRUE(testing::Eventually([&] { return evictor_->Stats().runs == 1; }));
  EXPECT_EQ(Cached(0), Count(0));
  EXPECT_LT(Cached(1), Count(1));
}

TEST_F(EvictorTest, ASealedCacheUnderAContainerIsLeftAloneWhateverIsLacking) {
  Fill(0);
  Seal(0);
  ASSERT_OK(images_->Attach(chain(0)));
  ASSERT_EQ(mounter_.FileOf(image(0).row.id), BlobFile::kCache);
  AddContainer(chain(0));
  Start({.max_bytes = 1, .min_free_percent = 0});
  WaitForRuns(5);
  EXPECT_TRUE(filler_->IsSealed(image(0).row));
  EXPECT_EQ(mounter_.FileOf(image(0).row.id), BlobFile::kCache);
}

TEST_F(EvictorTest, ATreeWithoutContainersReadsThroughFuseBeforeItsCacheIsTouched) {
  Fill(0);
  Seal(0);
  ASSERT_OK(images_->Attach(chain(0)));
  mounter_.SetSwitchError(Unavailable("the helper died"));
  Start({.max_bytes = CacheBytes() / 2, .min_free_percent = 0});
  EXPECT_TRUE(testing::Eventually([&] { return mounter_.switch_calls() > 2; }));
  EXPECT_TRUE(filler_->IsSealed(image(0).row));
  mounter_.SetSwitchError(absl::OkStatus());
  EXPECT_TRUE(testing::Eventually([&] { return evictor_->Stats().runs == 1; }));
  EXPECT_EQ(mounter_.FileOf(image(0).row.id), BlobFile::kFuse);
  EXPECT_FALSE(filler_->IsSealed(image(0).row));
}

TEST_F(EvictorTest, UnderPressureImagesWithoutSnapshotsGoAtOnceWhetherTheStoreAnswersOrNot) {
  Fill(0);
  RemoveSnapshots();
  AddSnapshot(chain(1));
  faulty_->FailFrom(1, Unavailable("away"));
  Start({.max_bytes = CacheBytes() / 2, .min_free_percent = 0});
  const std::string data = dir_ / ("blobs/" + std::to_string(image(0).row.id) + ".data");
  EXPECT_TRUE(testing::Eventually([&] { return !std::filesystem::exists(data); }));
  EXPECT_TRUE(LayersOf(chain(0)).empty());
  EXPECT_FALSE(LayersOf(chain(1)).empty());
}

TEST_F(EvictorTest, WhatALoopDeviceKeptFromBeingCollectedGoesLater) {
  Fill(0);
  mounter_.SetHeldBlobs({image(0).row.id});
  RemoveSnapshots();
  ASSERT_OK(images_->Collect());
  const std::string data = dir_ / ("blobs/" + std::to_string(image(0).row.id) + ".data");
  ASSERT_TRUE(std::filesystem::exists(data));
  mounter_.SetHeldBlobs({});
  Start({});
  EXPECT_TRUE(testing::Eventually([&] { return !std::filesystem::exists(data); }));
}

TEST_F(EvictorTest, ItNotesWhatContainersUse) {
  Fill(0);
  Fill(1);
  SetLastUse(0, 9);
  SetLastUse(1, 8);
  AddContainer(chain(0));
  Start({});
  WaitForRuns(1);
  EXPECT_GT(filler_->LastUseNanos(image(0).row.id), filler_->LastUseNanos(image(1).row.id));
}

}  // namespace
}  // namespace slacker
