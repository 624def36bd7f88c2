// Boot packs on a node: what they save, and that nothing goes wrong when they do.
#include "snapshotter/boot/boot_stream.h"

#include <gmock/gmock.h>

#include "backend/store/names.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

class BootStreamTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    image_ =
        testing::Publish(store_, {testing::MakeBigLayer(900, 1), testing::MakeBigLayer(600, 2)});
  }

  void Ensure(const Digest& chain) { ASSERT_OK(images_->Ensure(chain, {})); }
  // As containerd does; the boot pack is there, or given up, afterwards.
  void PullAndWait() {
    for (const Digest& chain : image_.chains) Ensure(chain);
    WaitForBoot();
  }
  void WaitForBoot() {
    images_->WaitForBackgroundForTest();
    EXPECT_TRUE(testing::Eventually([this] {
      images_->boots_for_test().WaitForTest();
      return images_->boots_for_test().IdleForTest();
    }));
  }

  uint64_t ReadsBelow(const std::string& prefix) {
    uint64_t reads = 0;
    const auto names = store_->List(prefix);
    EXPECT_OK(names);
    for (const std::string& name : *names) reads += store_->ReadsOf(name);
    return reads;
  }
  void ExpectEverythingReadsRight() {
    const std::vector<BlobRow> layers = LayersOf(image_.chain());
    ASSERT_EQ(layers.size(), 2U);
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string content = image_.BlobContent(i);
      ASSERT_OK_AND_ASSIGN(const std::string read,
                           Read(layers[i].id, 0, static_cast<uint32_t>(content.size())));
      EXPECT_EQ(read, content) << i;
    }
  }
  // As if nothing had been pulled.
  void ForgetNode() {
    StopNode();
    for (const char* name :
         {"boot", "records", "blobs", "images", "slacker.db", "slacker.db-wal", "slacker.db-shm"}) {
      std::filesystem::remove_all(dir_ / name);
    }
    StartNode();
  }

  // Ensure has ended, and the stream's first reads of the rest of the boot pack wait.
  void EnsureUntilBootPackIsHeld() {
    store_->HoldReads(std::string(kBootPrefix));
    auto ensure = std::async(std::launch::async, [this] { Ensure(image_.chain()); });
    store_->WaitForHeldReads(1);
    store_->ReleaseOneRead();
    ensure.get();
    store_->WaitForHeldReads(kBootReadsInFlight);
  }
  testing::PublishedImage image_;
};

TEST_F(BootStreamTest, AStartThatTouchesWhatIsInItAsksTheStoreForNoChunk) {
  const std::vector<ChunkRun> trace = {{1, 100, 300}, {0, 5, 20}, {1, 550, 30}};
  testing::WriteBootPackOf(store_, image_, trace);
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().chunks, 350U);
  EXPECT_EQ(images_->BootPackStats().packs, 1U);
  store_->ResetCounts();
  const std::vector<BlobRow> layers = LayersOf(image_.chain());
  for (const ChunkRun& run : trace) {
    const TableVector<Chunk>& chunks = image_.layers[run.layer].layer.chunks;
    const Chunk& last = chunks[run.first + run.count - 1];
    const uint64_t offset = chunks[run.first].blob_offset;
    const uint64_t size = last.blob_offset + last.size_bytes - offset;
    ASSERT_OK_AND_ASSIGN(const std::string read,
                         Read(layers[run.layer].id, offset, static_cast<uint32_t>(size)));
    EXPECT_EQ(read, image_.BlobContent(run.layer).substr(offset, size));
  }
  EXPECT_EQ(store_->counts().reads, 0U);
  // And what is not in it comes as ever.
  ExpectEverythingReadsRight();
  EXPECT_GT(ReadsBelow("packs/"), 0U);
}

TEST_F(BootStreamTest, WhoDidNotGetTheImageGivesUpNoneThatSomebodyElseHasPlaced) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  BootStreams& boots = images_->boots_for_test();
  // One that nobody placed goes, and is asked for again by the next one.
  ASSERT_TRUE(boots.Begin(image_.chain()));
  boots.GiveUp(image_.chain());
  EnsureUntilBootPackIsHeld();
  boots.GiveUp(image_.chain());
  store_->ReleaseReads();
  ASSERT_TRUE(testing::Eventually([&] { return boots.IdleForTest(); }));
  EXPECT_GT(boots.Stats().chunks, 0U);
  EXPECT_FALSE(boots.Begin(image_.chain())) << "it has been brought";
}

TEST_F(BootStreamTest, WhatItBroughtIsThereAfterARestart) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  PullAndWait();
  ExpectEverythingReadsRight();
  RestartNode();
  faulty_->FailFrom(1, Unavailable("down"));
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, TheTopsRecordNeedsNoReadOfItsOwn) {
  testing::WriteBootPackOf(store_, image_, {});
  for (const Digest& chain : image_.chains) Ensure(chain);
  EXPECT_EQ(store_->ReadsOf(RecordName(image_.manifest[0].record)), 2U) << "the writer's, ours";
  EXPECT_EQ(store_->ReadsOf(RecordName(image_.manifest[1].record)), 1U) << "the writer's";
  EXPECT_EQ(images_->BootPackStats().records, 1U);
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, ItIsReadOnceAndInLargeReads) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  ASSERT_OK_AND_ASSIGN(const ObjectInfo info, store_->Stat(BootPackName(image_.chain())));
  store_->ResetCounts();
  PullAndWait();
  for (int i = 0; i < 3; ++i) Ensure(image_.chain());
  WaitForBoot();
  const BootStats stats = images_->BootPackStats();
  EXPECT_LE(stats.bytes, info.size_bytes + kBootFirstReadBytes);
  EXPECT_LE(stats.requests, 2 + 1 + 2 * info.size_bytes / kBootReadBytes);  // a prefix's, the first
  EXPECT_EQ(ReadsBelow("packs/"), 0U);
  EXPECT_EQ(stats.chunks, image_.layers[0].chunks.size() + image_.layers[1].chunks.size());
}

TEST_F(BootStreamTest, ChunksThatTheNodeHasAreNotReadAgain) {
  PullAndWait();
  ExpectEverythingReadsRight();
  ASSERT_OK(filler_->Flush());
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  RestartNode();
  Ensure(image_.chain());
  WaitForBoot();
  const BootStats stats = images_->BootPackStats();
  EXPECT_EQ(stats.chunks, 0U);
  EXPECT_EQ(stats.requests, 1U);
  EXPECT_EQ(stats.chunks_present, image_.layers[0].chunks.size() + image_.layers[1].chunks.size());
}

TEST_F(BootStreamTest, AReadWaitsForAChunkThatIsOnItsWayInsteadOfFetchingIt) {
  testing::WriteBootPackOf(store_, image_, {{1, 100, 400}});
  store_->ResetCounts();
  Ensure(image_.chains[0]);
  WaitForBoot();
  store_->HoldReads(std::string(kBootPrefix));
  auto ensure = std::async(std::launch::async, [this] { Ensure(image_.chain()); });
  store_->WaitForHeldReads(1);
  store_->ReleaseOneRead();  // the first part; the chunks are held
  store_->WaitForHeldReads(kBootReadsInFlight);
  ensure.get();
  const std::vector<BlobRow> layers = LayersOf(image_.chain());
  const uint64_t offset = image_.layers[1].layer.chunks[400].blob_offset;
  auto read = StartRead(layers[1].id, offset, 1000);
  EXPECT_EQ(read.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
  store_->ReleaseReads();
  EXPECT_EQ(*read.get(), image_.BlobContent(1).substr(offset, 1000));
  WaitForBoot();
  EXPECT_EQ(ReadsBelow("packs/"), 0U);
}

// However narrow the link: what stands before it are the reads of the boot pack under way, not the rest.
TEST_F(BootStreamTest, AReadOfWhatIsNotInItOvertakesAllButTheReadsUnderWay) {
  const auto chunks = static_cast<uint32_t>(image_.layers[1].chunks.size());
  testing::WriteBootPackOf(store_, image_, {{1, 0, chunks}});
  ASSERT_OK_AND_ASSIGN(const ObjectInfo info, store_->Stat(BootPackName(image_.chain())));
  ASSERT_GT(info.size_bytes, kBootFirstReadBytes + kBootReadsInFlight * kBootReadBytes);
  store_->ResetCounts();
  EnsureUntilBootPackIsHeld();
  const std::vector<BlobRow> layers = LayersOf(image_.chain());
  EXPECT_EQ(*Read(layers[0].id, 0, 1000), image_.BlobContent(0).substr(0, 1000));
  EXPECT_EQ(ReadsBelow(std::string(kBootPrefix)), 1 + kBootReadsInFlight)
      << "the first part, and those held";
  store_->ReleaseReads();
  WaitForBoot();
  EXPECT_GT(ReadsBelow(std::string(kBootPrefix)), 1 + kBootReadsInFlight);
}

TEST_F(BootStreamTest, AWindowThatClaimsMoreThanOneMayHaveIsNeverAskedFor) {
  NewBootPack pack;
  pack.chain_id = image_.chain();
  pack.made_of = Sha256::Of("a lie");
  for (const ManifestLayer& layer : image_.manifest) pack.records.push_back({layer.record, ""});
  const auto chunks = static_cast<uint32_t>(image_.layers[1].chunks.size());
  pack.windows.push_back(
      {std::string(2 * kBootFirstReadBytes, 'x'), false, false, {{1, 0, chunks}}});
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeBootPack(std::move(pack), nullptr));
  ASSERT_OK(store_->Put(BootPackName(image_.chain()), bytes));
  store_->HoldReads(std::string(kBootPrefix));
  auto ensure = std::async(std::launch::async, [this] { Ensure(image_.chain()); });
  store_->WaitForHeldReads(1);
  store_->ReleaseOneRead();
  ensure.get();
  WaitForBoot();
  EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
  EXPECT_EQ(ReadsBelow(std::string(kBootPrefix)), 1U);
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, AReadThatWaitsForAChunkThatDoesNotComeFetchesIt) {
  testing::WriteBootPackOf(store_, image_, {{1, 100, 400}});
  Ensure(image_.chains[0]);
  WaitForBoot();
  faulty_->SetReadFilter([](std::string_view name, uint64_t offset, std::string* bytes) {
    if (name.starts_with(kBootPrefix) && offset > 0) bytes->back() ^= 1;
  });
  store_->HoldReads(std::string(kBootPrefix));
  auto ensure = std::async(std::launch::async, [this] { Ensure(image_.chain()); });
  store_->WaitForHeldReads(1);
  store_->ReleaseOneRead();
  store_->WaitForHeldReads(kBootReadsInFlight);
  ensure.get();
  const uint64_t offset = image_.layers[1].layer.chunks[400].blob_offset;
  auto read = StartRead(LayersOf(image_.chain())[1].id, offset, 1000);
  store_->ReleaseReads();
  EXPECT_EQ(*read.get(), image_.BlobContent(1).substr(offset, 1000));
  WaitForBoot();
  EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, NoDamageOfAPackGivesAWrongByte) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  ASSERT_OK_AND_ASSIGN(const ObjectInfo info, store_->Stat(BootPackName(image_.chain())));
  const uint64_t size = info.size_bytes;
  for (const uint64_t at : {uint64_t{0}, uint64_t{5}, uint64_t{9}, uint64_t{50}, uint64_t{200},
                            uint64_t{1000}, kBootFirstReadBytes + 7, size / 2, size - 1}) {
    for (const bool cut : {false, true}) {
      SCOPED_TRACE(std::to_string(at) + (cut ? " cut" : " flipped"));
      ForgetNode();
      faulty_->SetReadFilter([&](std::string_view name, uint64_t offset, std::string* bytes) {
        if (!name.starts_with(kBootPrefix) || at >= offset + bytes->size()) return;
        if (cut) {
          bytes->resize(at > offset ? at - offset : 0);
        } else if (at >= offset) {
          (*bytes)[at - offset] ^= 0x20;
        }
      });
      PullAndWait();
      EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
      ExpectEverythingReadsRight();
    }
  }
}

TEST_F(BootStreamTest, APackOfOtherRecordsIsIgnored) {
  auto other = testing::Publish(store_, {testing::MakeBigLayer(3, 5), testing::MakeBigLayer(4, 6)});
  testing::WriteBootPackOf(store_, other, testing::AllChunks(other));
  other.chains = image_.chains;
  testing::WriteBootPackOf(store_, other, testing::AllChunks(other));
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
  EXPECT_EQ(images_->BootPackStats().chunks, 0U);
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, AStoreThatFailsInTheMiddleCostsThePackNoMore) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  PullAndWait();
  for (uint64_t failing = 1; failing <= 14; ++failing) {
    ForgetNode();
    Ensure(image_.chains[0]);
    WaitForBoot();
    faulty_->FailCall(failing, Unavailable("down"));
    const auto ensured = images_->Ensure(image_.chain(), {});
    WaitForBoot();
    faulty_->Heal();
    if (!ensured.ok()) Ensure(image_.chain());
    ExpectEverythingReadsRight();
  }
}

TEST_F(BootStreamTest, AFirstPartThatDoesNotComeIsNotWaitedForLongerThanHalfOfWhatIsLeft) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  store_->HoldReads(std::string(kBootPrefix));
  auto ensure = std::async(std::launch::async,
                           [this] { return images_->Ensure(image_.chain(), {}).status(); });
  while (ensure.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(1));
  }
  EXPECT_OK(ensure.get());
  EXPECT_GT(store_->ReadsOf(RecordName(image_.manifest[1].record)), 1U);
  store_->ReleaseReads();
  WaitForBoot();
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, APrepareOfTheChildCallsItsParentsOff) {
  // The parent is a top too, with a boot pack of its own.
  auto base = testing::Publish(store_, {testing::MakeBigLayer(900, 1)});
  ASSERT_EQ(base.chain(), image_.chains[0]);
  testing::WriteBootPackOf(store_, base, testing::AllChunks(base));
  store_->HoldReads(std::string(kBootPrefix));
  auto ensure = std::async(std::launch::async, [this] { Ensure(image_.chains[0]); });
  store_->WaitForHeldReads(1);
  store_->ReleaseOneRead();
  ensure.get();
  store_->WaitForHeldReads(kBootReadsInFlight);
  auto child = std::async(std::launch::async, [this] { Ensure(image_.chain()); });
  store_->WaitForHeldReads(kBootReadsInFlight + 1);  // the child's own: there is none
  store_->ReleaseLastRead();
  child.get();
  store_->ReleaseReads();
  WaitForBoot();
  EXPECT_LT(images_->BootPackStats().chunks, base.layers[0].chunks.size());
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, ALayerThatIsSaidNotToBeTheTopAsksForNone) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  ASSERT_OK(images_->Ensure(image_.chain(),
                            {{"containerd.io/snapshot/cri.image-layers", "sha256:a,sha256:b"}}));
  WaitForBoot();
  EXPECT_EQ(images_->BootPackStats().requests, 0U);
}

TEST_F(BootStreamTest, StoppingInTheMiddleWaitsForNobodyAndTheNextLifeReadsRight) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  Ensure(image_.chains[0]);
  WaitForBoot();
  EnsureUntilBootPackIsHeld();
  auto read = StartRead(LayersOf(image_.chain())[1].id, 0, 1000);
  images_->Stop();
  EXPECT_OK(read.get()) << "withdrawn, so fetched";
  RestartNode();
  store_->ReleaseReads();
  ExpectEverythingReadsRight();
}

TEST_F(BootStreamTest, TheNextLifeGoesOnWithWhatWasNotStreamedToTheEnd) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  EnsureUntilBootPackIsHeld();
  images_->Stop();
  store_->ReleaseReads();
  RestartNode();
  WaitForBoot();
  EXPECT_GT(images_->BootPackStats().chunks, 0U);
  store_->ResetCounts();
  ExpectEverythingReadsRight();
  EXPECT_EQ(ReadsBelow("packs/"), 0U);
  RestartNode();
  WaitForBoot();
  EXPECT_EQ(images_->BootPackStats().requests, 0U) << "it is done";
}

TEST_F(BootStreamTest, WhatWasCalledOffOrIsGoneIsNotResumed) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  EnsureUntilBootPackIsHeld();
  ASSERT_OK(images_->Collect());
  images_->boots_for_test().WaitForTest();
  images_->Stop();
  store_->ReleaseReads();
  RestartNode();
  WaitForBoot();
  EXPECT_EQ(images_->BootPackStats().requests, 0U);
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "boot"));
}

TEST_F(BootStreamTest, AnImageThatGoesMeanwhileTakesItsBootPackWithIt) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  EnsureUntilBootPackIsHeld();
  ASSERT_OK(images_->Collect());
  EXPECT_TRUE(LayersOf(image_.chain()).empty());
  store_->ReleaseReads();
  images_->boots_for_test().WaitForTest();
  PullAndWait();
  ExpectEverythingReadsRight();
}

}  // namespace
}  // namespace slacker
