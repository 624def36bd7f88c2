#include "snapshotter/fill/blob_filler.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

class BlobFillerTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeBigLayer(40)});
    NodeTest::SetUp();
    Prepare();
  }
  // Makes the image present; nothing of its content is.
  void Prepare() {
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    const auto layers = LayersOf(image_.chain());
    ASSERT_EQ(layers.size(), 1U);
    blob_ = layers[0].id;
    content_ = image_.BlobContent(0);
    ASSERT_EQ(layers[0].size_bytes, content_.size());
  }
  // Reads all of it until it comes from the cache: what was answered is written behind.
  void FillCache() {
    EXPECT_TRUE(testing::Eventually([&] {
      const uint64_t hits = filler_->Stats().read_hits;
      EXPECT_OK(Read(blob_, 0, size()));
      return filler_->Stats().read_hits > hits;
    }));
  }
  uint32_t size() const { return static_cast<uint32_t>(content_.size()); }
  const Chunk& LastChunk() const { return image_.layers[0].layer.chunks.back(); }

  testing::PublishedImage image_;
  std::string content_;
  uint64_t blob_ = 0;
};

TEST_F(BlobFillerTest, AWholeBlobReadsRightColdAndWarm) {
  ASSERT_OK_AND_ASSIGN(const std::string cold, Read(blob_, 0, size()));
  EXPECT_TRUE(cold == content_);
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().chunks_filled > 0; }));
  ASSERT_OK_AND_ASSIGN(const std::string warm, Read(blob_, 0, size()));
  EXPECT_TRUE(warm == content_);
}

TEST_F(BlobFillerTest, EveryRangeReadsRight) {
  for (uint64_t offset = 0; offset < content_.size(); offset += 4096 * 3 + 512) {
    for (const uint32_t length : {1U, 512U, 4096U, 20000U}) {
      ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, offset, length));
      EXPECT_TRUE(bytes == content_.substr(offset, length)) << offset << " + " << length;
    }
  }
}

TEST_F(BlobFillerTest, AReadIsShortAtTheEndOnly) {
  ASSERT_OK_AND_ASSIGN(const std::string tail, Read(blob_, content_.size() - 10, 4096));
  EXPECT_EQ(tail, content_.substr(content_.size() - 10));
  ASSERT_OK_AND_ASSIGN(const std::string beyond, Read(blob_, content_.size() + 1, 4096));
  EXPECT_EQ(beyond, "");
}

TEST_F(BlobFillerTest, AnUnknownBlobIsNotFound) {
  EXPECT_THAT(Read(1, 0, 4096), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(filler_->BlobSize(1), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const uint64_t known, filler_->BlobSize(blob_));
  EXPECT_EQ(known, content_.size());
}

TEST_F(BlobFillerTest, ManyReadersOfOneChunkFetchItOnce) {
  ASSERT_OK(Read(blob_, 0, 1));  // the blob is loaded, its first chunk is there
  const uint64_t before = filler_->Stats().store_requests;
  store_->HoldReads();
  std::vector<std::future<ReadResult>> reads;
  for (int i = 0; i < 32; ++i) reads.push_back(StartRead(blob_, LastChunk().blob_offset, 100));
  store_->WaitForHeldReads(1);
  store_->ReleaseReads();
  for (auto& read : reads) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
    EXPECT_TRUE(bytes == content_.substr(LastChunk().blob_offset, 100));
  }
  EXPECT_EQ(filler_->Stats().store_requests - before, 1U);
}

TEST_F(BlobFillerTest, ManyChunksAreUnderWayAtOnce) {
  ASSERT_OK(Read(blob_, 0, 1));
  store_->HoldReads();
  std::vector<std::future<ReadResult>> reads;
  const auto& chunks = image_.layers[0].layer.chunks;
  // From the end on: who goes forward is fetched ahead, with fewer requests.
  for (size_t i = 1; i <= 32; ++i) {
    reads.push_back(StartRead(blob_, chunks[chunks.size() - i].blob_offset, 1));
  }
  store_->WaitForHeldReads(32);
  store_->ReleaseReads();
  for (auto& read : reads) EXPECT_OK(read.get());
}

TEST_F(BlobFillerTest, NeighboursAreFetchedTogether) {
  ASSERT_OK(Read(blob_, 0, 1));
  const uint64_t before = filler_->Stats().store_requests;
  ASSERT_OK(Read(blob_, LastChunk().blob_offset - 16 * 4096, 16 * 4096));
  EXPECT_EQ(filler_->Stats().store_requests - before, 1U);
}

TEST_F(BlobFillerTest, WhatWasReadOnceNeedsNoStoreAfterACleanRestart) {
  FillCache();
  StopNode();
  faulty_->FailFrom(1, Unavailable("down"));
  StartNode();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
  EXPECT_TRUE(bytes == content_);
  EXPECT_EQ(filler_->Stats().chunks_recovered, 0U);
  EXPECT_EQ(filler_->Stats().store_requests, 0U);
}

TEST_F(BlobFillerTest, AfterACrashWhatTheMapDoesNotClaimIsVerifiedAndNotFetched) {
  FillCache();
  StopNode();
  ASSERT_EQ(unlink((dir_ / ("blobs/" + std::to_string(blob_) + ".map")).c_str()), 0);
  faulty_->FailFrom(1, Unavailable("down"));
  StartNode();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
  EXPECT_TRUE(bytes == content_);
  const uint64_t chunks = image_.layers[0].layer.chunks.size();
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().chunks_recovered == chunks; }));
}

TEST_F(BlobFillerTest, GarbageThatACrashLeftIsNeverServed) {
  FillCache();
  StopNode();
  const std::string stem = dir_ / ("blobs/" + std::to_string(blob_));
  ASSERT_EQ(unlink((stem + ".map").c_str()), 0);
  {
    const UniqueFd fd(open((stem + ".data").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(pwrite(fd.get(), "garbage", 7, static_cast<off_t>(LastChunk().blob_offset)), 7);
  }
  StartNode();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
  EXPECT_TRUE(bytes == content_);
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().chunks_filled == 1; }));
}

TEST_F(BlobFillerTest, ADamagedPackIsDataLossAndTheRestStaysReadable) {
  ASSERT_OK(Read(blob_, 0, 1));
  faulty_->SetReadFilter([](std::string_view name, uint64_t, std::string* bytes) {
    if (name.starts_with("packs/")) bytes->back() = static_cast<char>(bytes->back() ^ 1);
  });
  EXPECT_THAT(Read(blob_, LastChunk().blob_offset, 1), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().chunks_damaged == 1; }));
  EXPECT_OK(Read(blob_, 0, 1));
  faulty_->SetReadFilter(nullptr);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, LastChunk().blob_offset, 1));
  EXPECT_EQ(bytes[0], content_[LastChunk().blob_offset]);
}

TEST_F(BlobFillerTest, AShortAnswerOfTheStoreIsNeverServed) {
  ASSERT_OK(Read(blob_, 0, 1));
  faulty_->SetReadFilter([](std::string_view name, uint64_t, std::string* bytes) {
    if (name.starts_with("packs/")) bytes->resize(bytes->size() / 2);
  });
  EXPECT_THAT(Read(blob_, LastChunk().blob_offset, 1), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BlobFillerTest, AStoreThatComesBackAnswersTheReadsThatWaited) {
  fill_options_.stall_timeout = std::chrono::hours(24 * 365);  // the clock below runs fast
  RestartNode();
  ASSERT_OK(Read(blob_, 0, 1));
  faulty_->FailFrom(1, Unavailable("down"));
  auto read = StartRead(blob_, LastChunk().blob_offset, 1);
  EXPECT_TRUE(testing::Eventually([&] {
    clock_.Advance(std::chrono::milliseconds(10));
    return filler_->Stats().retries >= 3;
  }));
  faulty_->Heal();
  while (read.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(500));
  }
  ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
  EXPECT_EQ(bytes[0], content_[LastChunk().blob_offset]);
}

TEST_F(BlobFillerTest, AStoreThatStaysAwayIsUnavailableAfterTheStallTimeout) {
  ASSERT_OK(Read(blob_, 0, 1));
  faulty_->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(ReadWhileTimePasses(blob_, LastChunk().blob_offset, 1),
              StatusIs(absl::StatusCode::kUnavailable));
  faulty_->Heal();
  EXPECT_OK(Read(blob_, LastChunk().blob_offset, 1));
}

TEST_F(BlobFillerTest, FillingBringsChunksThatNobodyReads) {
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(blob_));
  const auto chunks = static_cast<uint32_t>(blob->layer().chunks.size());
  std::promise<absl::Status> done;
  filler_->FillAsync(blob, 0, chunks, [&](const absl::Status& status) { done.set_value(status); });
  EXPECT_OK(done.get_future().get());
  EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
  EXPECT_TRUE(blob->cache().IsFull());
  EXPECT_EQ(filler_->Stats().reads, 0U);
}

// What was asked for in advance was asked for some time ago.
TEST_F(BlobFillerTest, AReaderOfWhatIsFetchedUnaskedWaitsAsLongAsAnybody) {
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(blob_));
  faulty_->FailFrom(1, Unavailable("down"));
  filler_->FillAsync(blob, 0, 1, [](const absl::Status&) {});
  std::promise<absl::Status> given_up;
  filler_->FillAsync(blob, 1, 2, [&](const absl::Status& status) { given_up.set_value(status); });
  clock_.Advance(fill_options_.stall_timeout - std::chrono::seconds(1));
  auto read = StartRead(blob_, blob->layer().chunks[0].blob_offset, 1);
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_THAT(given_up.get_future().get(), StatusIs(absl::StatusCode::kUnavailable));
  faulty_->Heal();
  while (read.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(50));
  }
  EXPECT_OK(read.get());
}

TEST_F(BlobFillerTest, AStoreThatHangsIsUnavailableAfterTheStallTimeoutAndItsLateAnswerIsDropped) {
  ASSERT_OK(Read(blob_, 0, 1));
  store_->HoldReads();
  EXPECT_THAT(ReadWhileTimePasses(blob_, LastChunk().blob_offset, 1),
              StatusIs(absl::StatusCode::kUnavailable));
  store_->ReleaseReads();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, LastChunk().blob_offset, 1));
  EXPECT_EQ(bytes[0], content_[LastChunk().blob_offset]);
}

TEST_F(BlobFillerTest, StoppingAnswersWhatWaitsWithCancelled) {
  ASSERT_OK(Read(blob_, 0, 1));
  store_->HoldReads();
  auto read = StartRead(blob_, LastChunk().blob_offset, 1);
  store_->WaitForHeldReads(1);
  StopNode();
  EXPECT_THAT(read.get(), StatusIs(absl::StatusCode::kCancelled));
  store_->ReleaseReads();
}

TEST_F(BlobFillerTest, StaleLocationsAreReadAgainOnce) {
  StopNode();
  // A table of the right shape that points to the wrong places.
  RecordFiles records(dir_ / "records");
  const size_t count = image_.layers[0].layer.chunks.size();
  ASSERT_OK_AND_ASSIGN(Locations locations,
                       records.LoadLocations(image_.manifest[0].record, count));
  for (std::string& pack : locations.packs) pack = "packs/gone";
  ASSERT_OK(records.SaveLocations(image_.manifest[0].record, locations));
  StartNode();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
  EXPECT_TRUE(bytes == content_);
  ASSERT_OK_AND_ASSIGN(const Locations kept,
                       records.LoadLocations(image_.manifest[0].record, count));
  EXPECT_NE(kept.packs[0], "packs/gone");
}

TEST_F(BlobFillerTest, ALocationsFileWithADamagedByteIsNotUsed) {
  StopNode();
  const std::string path = dir_ / ("records/" + image_.manifest[0].record.ToHex() + ".loc");
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), "\xff\xff", 2, 40), 2);
  StartNode();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
  EXPECT_TRUE(bytes == content_);
}

// What is in the store and what is on the node of the record of the only layer.
class LostRecordTest : public BlobFillerTest {
 protected:
  void SetUp() override {
    BlobFillerTest::SetUp();
    RestartNode();
  }
  std::string OnNode() const { return dir_ / ("records/" + image_.manifest[0].record.ToHex()); }
  std::string InStore() const { return "records/" + image_.manifest[0].record.ToHex(); }
};

TEST_F(LostRecordTest, AMissingOneIsFetchedAgain) {
  ASSERT_EQ(unlink(OnNode().c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
  EXPECT_TRUE(bytes == content_);
  EXPECT_OK(RecordFiles(dir_ / "records").Load(image_.manifest[0].record));
}

TEST_F(LostRecordTest, ADamagedOneIsFetchedOnceForManyReaders) {
  const UniqueFd fd(open(OnNode().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), "\xff\xff", 2, 20), 2);
  store_->HoldReads();
  const uint64_t before = store_->ReadsOf(InStore());
  std::vector<std::future<ReadResult>> reads;
  for (int i = 0; i < 8; ++i) reads.push_back(StartRead(blob_, 0, 1));
  store_->WaitForHeldReads(1);
  store_->ReleaseReads();
  for (auto& read : reads) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
    EXPECT_EQ(bytes[0], content_[0]);
  }
  // Whoever looked after it was there again has not asked.
  EXPECT_EQ(store_->ReadsOf(InStore()) - before, 1U);
}

TEST_F(LostRecordTest, ReadsWaitForAStoreThatIsAway) {
  ASSERT_EQ(unlink(OnNode().c_str()), 0);
  faulty_->FailFrom(1, Unavailable("down"));
  auto read = StartRead(blob_, 0, 1);
  // Slowly enough for the tries, and long before the stall timeout.
  while (filler_->Stats().retries < 3) {
    ASSERT_EQ(read.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
    clock_.Advance(std::chrono::milliseconds(50));
  }
  faulty_->Heal();
  while (read.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(50));
  }
  ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
  EXPECT_EQ(bytes[0], content_[0]);
}

TEST_F(LostRecordTest, AStoreThatStaysAwayIsUnavailableAfterTheStallTimeout) {
  ASSERT_EQ(unlink(OnNode().c_str()), 0);
  faulty_->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(ReadWhileTimePasses(blob_, 0, 1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_GE(filler_->Stats().stalled, 1U);
}

TEST_F(LostRecordTest, OneThatTheStoreHasNotEitherIsDataLoss) {
  ASSERT_EQ(unlink(OnNode().c_str()), 0);
  ASSERT_OK(store_->Remove(InStore()));
  EXPECT_THAT(Read(blob_, 0, 1), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(LostRecordTest, StoppingDoesNotWaitForAStoreThatHangs) {
  ASSERT_EQ(unlink(OnNode().c_str()), 0);
  store_->HoldReads();
  auto read = StartRead(blob_, 0, 1);
  store_->WaitForHeldReads(1);
  filler_->Stop();
  EXPECT_THAT(read.get(), StatusIs(absl::StatusCode::kCancelled));
  store_->ReleaseReads();
}

TEST_F(BlobFillerTest, AFullDiskCostsNothingButTheNextFetch) {
  StopNode();
  ASSERT_EQ(mount("tmpfs", (dir_ / "blobs").c_str(), "tmpfs", 0, "size=16k"), 0);
  StartNode();
  for (int round = 0; round < 2; ++round) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(blob_, 0, size()));
    EXPECT_TRUE(bytes == content_);
  }
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().failed_writes > 0; }));
  StopNode();
  EXPECT_EQ(umount((dir_ / "blobs").c_str()), 0);
  StartNode();
}

TEST_F(BlobFillerTest, ADiskThatIsFullAndHasRoomAgainIsOneLineAtTheStartAndOneAtTheEnd) {
  const auto count = [](const std::string& log, std::string_view text) {
    int found = 0;
    for (size_t at = log.find(text); at != log.npos; at = log.find(text, at + 1)) ++found;
    return found;
  };
  StopNode();
  ASSERT_EQ(mount("tmpfs", (dir_ / "blobs").c_str(), "tmpfs", 0, "size=16k"), 0);
  StartNode();
  ::testing::internal::CaptureStderr();
  ASSERT_OK(Read(blob_, 0, size()));
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().failed_writes > 1; }));
  ASSERT_OK_AND_ASSIGN(auto blob, filler_->Find(blob_));
  EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
  ASSERT_EQ(mount("tmpfs", (dir_ / "blobs").c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
  clock_.Advance(std::chrono::minutes(1));
  ASSERT_OK(Read(blob_, 0, size()));
  EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(count(log, "cannot write a blob cache"), 1) << log;
  EXPECT_EQ(count(log, "blob caches can be written again"), 1) << log;
  EXPECT_EQ(count(log, "\"failed_writes\":\"" + std::to_string(filler_->Stats().failed_writes)), 1)
      << log;
  blob.reset();
  StopNode();
  EXPECT_EQ(umount((dir_ / "blobs").c_str()), 0);
  StartNode();
}

TEST_F(BlobFillerTest, LittleMemoryMakesReadsWaitButNotFail) {
  fill_options_.max_bytes_in_flight = 4096;
  RestartNode();
  std::vector<std::future<ReadResult>> reads;
  for (int i = 0; i < 8; ++i) reads.push_back(StartRead(blob_, 0, size()));
  for (auto& read : reads) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
    EXPECT_TRUE(bytes == content_);
  }
}

TEST_F(BlobFillerTest, WhatIsAnnouncedAndHasNotComeHoldsUpNoOtherRead) {
  fill_options_.max_bytes_in_flight = 4096;
  RestartNode();
  ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(blob_));
  const auto& chunks = blob->layer().chunks;
  ASSERT_GT(chunks.size(), 3U);
  const auto others = static_cast<uint32_t>(chunks.size() - 1);
  const auto announced = filler_->engine().Announce(blob, 0, others);
  EXPECT_EQ(announced.size(), others);
  const uint64_t offset = chunks.back().blob_offset;
  ASSERT_OK_AND_ASSIGN(const std::string last, ReadWhileTimePasses(blob_, offset, 10));
  EXPECT_EQ(last, content_.substr(offset, 10));
  // Who waits for one that does not come has it fetched.
  auto read = StartRead(blob_, 0, 10);
  filler_->engine().Withdraw(blob, announced);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
  EXPECT_EQ(bytes, content_.substr(0, 10));
}

TEST_F(BlobFillerTest, RandomReadsFromManyThreadsAreRight) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([&, seed] {
      uint64_t state = seed;
      for (int i = 0; i < 200; ++i) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        const uint64_t offset = (state >> 20) % content_.size();
        const auto length = static_cast<uint32_t>((state >> 40) % 50000);
        const auto bytes = Read(blob_, offset, length);
        if (!bytes.ok() || *bytes != content_.substr(offset, length)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(filler_->Stats().chunks_damaged, 0U);
}

}  // namespace
}  // namespace slacker
