// Boot packs that bring pages: chunks of which the node has a part.
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

constexpr uint64_t kPage = kBootPageBytes;
constexpr uint32_t kChunks = 40;

class BootPagesOnNodeTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeLayerOfBigChunks(kChunks, 1)});
    content_ = image_.BlobContent(0);
    NodeTest::SetUp();
  }
  void Pull() {
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    AddSnapshot(image_.chain());
  }
  // The image is signed, and the node trusts nobody else.
  void TrustOnly(const SigningKey& key) {
    const auto manifest = StoreReader(store_).ReadManifest(image_.chain());
    ASSERT_OK(manifest);
    const Grant to_anybody{image_.chain(), ""};
    const Digest by = key.public_key().id();
    ASSERT_OK(store_->Put(ManifestName(image_.chain(), by), EncodeManifest(*manifest, &key)));
    ASSERT_OK(store_->Put(GrantName(to_anybody, by), EncodeGrant(to_anybody, &key)));
    trust_.keys = {key.public_key()};
    RestartNode();
  }
  void WaitForBoot() {
    images_->WaitForBackgroundForTest();
    EXPECT_TRUE(testing::Eventually([this] {
      images_->boots_for_test().WaitForTest();
      return images_->boots_for_test().IdleForTest();
    }));
  }
  void PullAndWait() {
    Pull();
    WaitForBoot();
  }
  std::shared_ptr<LayerBlob> Blob() {
    const auto blob = filler_->Find(LayersOf(image_.chain())[0].id);
    EXPECT_OK(blob);
    return *blob;
  }
  std::future<ReadResult> StartReadOf(uint64_t page, uint32_t pages) {
    return StartRead(LayersOf(image_.chain())[0].id, page * kPage,
                     static_cast<uint32_t>(pages * kPage));
  }
  void ExpectRight(uint64_t page, uint32_t pages) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, StartReadOf(page, pages).get());
    EXPECT_TRUE(bytes == content_.substr(page * kPage, pages * kPage)) << page << " + " << pages;
  }
  void ExpectAllRight() { ExpectRight(0, static_cast<uint32_t>(content_.size() / kPage)); }
  uint64_t ChunkReads() {
    uint64_t reads = 0;
    const auto names = store_->List("packs/");
    EXPECT_OK(names);
    for (const std::string& name : *names) reads += store_->ReadsOf(name);
    return reads;
  }
  // The first part has come; what it does not have of the windows is held.
  void PullUntilPagesAreHeld() {
    store_->HoldReads(std::string(kBootPrefix));
    auto pull = std::async(std::launch::async, [this] { Pull(); });
    store_->WaitForHeldReads(1);
    store_->ReleaseOneRead();
    pull.get();
    store_->WaitForHeldReads(2);  // what is asked for has been announced
  }
  // 300 pages that nobody waits for, more than a read has, and behind them `pages`.
  std::vector<ChunkRun> Behind(std::vector<ChunkRun> pages) {
    std::vector<ChunkRun> runs = {{0, 20 * 16, 300}};
    runs.insert(runs.end(), pages.begin(), pages.end());
    return runs;
  }

  testing::PublishedImage image_;
  std::string content_;
};

TEST_F(BootPagesOnNodeTest, AStartThatTouchesThemAsksForNoChunkAndOthersAreFetchedWhole) {
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}, {0, 30, 4}, {0, 7, 1}});
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().pages, 7U);
  const uint64_t before = ChunkReads();
  ExpectRight(3, 2);
  ExpectRight(30, 4);  // over the end of a chunk
  ExpectRight(7, 1);
  EXPECT_EQ(ChunkReads(), before);
  EXPECT_FALSE(Blob()->cache().Has(0));
  ExpectRight(4, 4);  // of which it has the ends
  EXPECT_GT(ChunkReads(), before);
  EXPECT_TRUE(testing::Eventually([this] { return Blob()->cache().Has(0); }));
  ExpectAllRight();
  EXPECT_EQ(filler_->Stats().false_pages, 0U);
}

TEST_F(BootPagesOnNodeTest, AChunkOfWhichAllPagesCameIsWhole) {
  testing::WritePagePackOf(store_, image_, {{0, 24, 8}, {0, 16, 8}});
  PullAndWait();
  EXPECT_TRUE(Blob()->cache().Has(1));
  EXPECT_FALSE(Blob()->cache().Has(0));
}

TEST_F(BootPagesOnNodeTest, TheyAreThereAfterARestartWithoutAStore) {
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  ASSERT_OK(filler_->Flush());
  RestartNode();
  faulty_->FailFrom(1, Unavailable("down"));
  ExpectRight(3, 2);
  EXPECT_THAT(ReadWhileTimePasses(LayersOf(image_.chain())[0].id, 5 * kPage, kPage),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(BootPagesOnNodeTest, AReaderOfPagesThatAreOnTheirWayWaitsForThem) {
  testing::WritePagePackOf(store_, image_, Behind({{0, 3, 2}}));
  PullUntilPagesAreHeld();
  const uint64_t before = ChunkReads();
  auto read = StartReadOf(3, 2);
  EXPECT_EQ(read.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  store_->ReleaseReads();
  EXPECT_TRUE(*read.get() == content_.substr(3 * kPage, 2 * kPage));
  WaitForBoot();
  EXPECT_EQ(ChunkReads(), before);
}

TEST_F(BootPagesOnNodeTest, AReaderOfOtherPagesOfTheChunkDoesNotWait) {
  testing::WritePagePackOf(store_, image_, Behind({{0, 3, 2}}));
  PullUntilPagesAreHeld();
  auto waiting = StartReadOf(3, 1);
  ExpectRight(4, 3);  // while the boot pack is held
  EXPECT_TRUE(*waiting.get() == content_.substr(3 * kPage, kPage)) << "it came with the chunk";
  store_->ReleaseReads();
  WaitForBoot();
  ExpectAllRight();
}

TEST_F(BootPagesOnNodeTest, WhoWaitsForPagesThatDoNotComeHasTheChunkFetched) {
  testing::WritePagePackOf(store_, image_, Behind({{0, 3, 2}}));
  faulty_->SetReadFilter([](std::string_view name, uint64_t offset, std::string* bytes) {
    if (name.starts_with(kBootPrefix) && offset > 0) bytes->back() ^= 1;
  });
  PullUntilPagesAreHeld();
  auto read = StartReadOf(3, 2);
  store_->ReleaseReads();
  EXPECT_TRUE(*read.get() == content_.substr(3 * kPage, 2 * kPage));
  WaitForBoot();
  EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
  ExpectAllRight();
}

TEST_F(BootPagesOnNodeTest, AnUnsignedPackIsNotUsedByWhoTrustsKeys) {
  const SigningKey key = SigningKey::Generate();
  TrustOnly(key);
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().pages, 0U);
  EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
  ExpectAllRight();
}

TEST_F(BootPagesOnNodeTest, ASignedPackIsUsedByWhoTrustsItsKey) {
  const SigningKey key = SigningKey::Generate();
  TrustOnly(key);
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}}, &key);
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().pages, 2U);
}

// Whoever may sign may lie about pages until the chunk itself comes.
TEST_F(BootPagesOnNodeTest, PagesThatAreNotTheImagesAreFoundWhenTheirChunkComes) {
  NewBootPack lie;
  lie.chain_id = image_.chain();
  lie.made_of = Sha256::Of("a lie");
  lie.records.push_back({image_.manifest[0].record, ""});
  lie.windows.push_back({std::string(kPage, 'x'), false, true, {{0, 3, 1}}});
  ASSERT_OK_AND_ASSIGN(const std::string pack, EncodeBootPack(lie, nullptr));
  ASSERT_OK(store_->Replace(BootPackName(image_.chain()), pack));
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().pages, 1U);
  ExpectRight(5, 1);
  EXPECT_TRUE(testing::Eventually([this] { return filler_->Stats().false_pages == 1; }));
  EXPECT_TRUE(testing::Eventually([this] { return !Blob()->HasFills(); }));
  ExpectAllRight();
}

TEST_F(BootPagesOnNodeTest, AWholeChunkOfFalsePagesIsNeverServed) {
  const uint64_t pages = image_.layers[0].layer.chunks[0].size_bytes / kPage;
  ASSERT_GT(pages, 0U);
  NewBootPack lie;
  lie.chain_id = image_.chain();
  lie.made_of = Sha256::Of("a lie");
  lie.records.push_back({image_.manifest[0].record, ""});
  lie.windows.push_back(
      {std::string(pages * kPage, 'x'), false, true, {{0, 0, static_cast<uint32_t>(pages)}}});
  ASSERT_OK_AND_ASSIGN(const std::string pack, EncodeBootPack(lie, nullptr));
  ASSERT_OK(store_->Replace(BootPackName(image_.chain()), pack));
  PullAndWait();
  EXPECT_EQ(filler_->Stats().false_pages, 1U);
  ExpectAllRight();
}

TEST_F(BootPagesOnNodeTest, AWindowOfMorePagesThanItMayHaveMakesThePackUseless) {
  NewBootPack lie;
  lie.chain_id = image_.chain();
  lie.made_of = Sha256::Of("a lie");
  lie.records.push_back({image_.manifest[0].record, ""});
  constexpr uint32_t kTooMany = kMaxBootWindowBytes / kPage + 1;
  lie.windows.push_back({std::string(1, 'x'), true, true, {{0, 0, kTooMany}}});
  ASSERT_OK_AND_ASSIGN(const std::string pack, EncodeBootPack(lie, nullptr));
  ASSERT_OK(store_->Replace(BootPackName(image_.chain()), pack));
  PullAndWait();
  EXPECT_EQ(images_->BootPackStats().packs_ignored, 1U);
  ExpectAllRight();
}

TEST_F(BootPagesOnNodeTest, APageThatTheDiskDamagedIsFetchedWithItsChunk) {
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  ASSERT_OK(Blob()->cache().WritePages(100 * kPage, content_.substr(100 * kPage, kPage)));
  {
    const std::string path =
        dir_ / ("blobs/" + std::to_string(LayersOf(image_.chain())[0].id) + ".data");
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(3 * kPage + 7));
    file.put('!');
  }
  ExpectRight(3, 2);
  EXPECT_EQ(filler_->Stats().chunks_spoilt, 1U);
}

TEST_F(BootPagesOnNodeTest, PagesCanBeEvicted) {
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  EXPECT_EQ(Blob()->CachedBytes(0), 2 * kPage);
  ASSERT_OK_AND_ASSIGN(const auto evicted, filler_->engine().Evict(Blob(), {0, 1}));
  EXPECT_EQ(evicted.chunks, 1U);
  EXPECT_EQ(evicted.bytes, 2 * kPage) << "what the disk has of it, not what the chunk would take";
  EXPECT_EQ(Blob()->CachedBytes(0), 0U);
  ExpectRight(3, 2);
}

TEST_F(BootPagesOnNodeTest, TheyAreReadIntoTheTreeAsSoonAsTheyAreHere) {
  testing::WritePagePackOf(store_, image_, Behind({{0, 3, 2}, {0, 7, 1}}));
  PullUntilPagesAreHeld();
  ASSERT_OK(images_->Attach(image_.chain()));
  EXPECT_THAT(mounter_.read_in_advance(), ::testing::IsEmpty()) << "nothing is here yet";
  store_->ReleaseReads();
  WaitForBoot();
  // One request has 256 pages at most.
  std::vector<FileRange> read = mounter_.read_in_advance();
  ASSERT_FALSE(read.empty());
  uint64_t end = read.front().offset;
  EXPECT_EQ(end, 20 * 16 * kPage);
  for (const FileRange& range : read) {
    EXPECT_EQ(range.path, "/big");
    if (range.offset == end) end += range.size_bytes;
  }
  EXPECT_EQ(end, (20 * 16 + 300) * kPage);
  EXPECT_EQ(read[read.size() - 2], (FileRange{"/big", 3 * kPage, 2 * kPage}));
  EXPECT_EQ(read.back(), (FileRange{"/big", 7 * kPage, kPage}));
  EXPECT_EQ(images_->WarmingStats().trees, 1U);
}

TEST_F(BootPagesOnNodeTest, ATreeOfATraceIsWarmBeforeAnybodyAsksForIt) {
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  EXPECT_TRUE(testing::Eventually([this] {
    images_->WaitForBackgroundForTest();
    return mounter_.read_in_advance() == std::vector<FileRange>{{"/big", 3 * kPage, 2 * kPage}};
  }));
  EXPECT_EQ(mounter_.attached().size(), 1U);
  EXPECT_EQ(images_->AttachCalls(), 0U) << "no container has asked";
  ASSERT_OK_AND_ASSIGN(const std::string path, images_->Attach(image_.chain()));
  EXPECT_TRUE(mounter_.attached().contains(path));
  EXPECT_EQ(mounter_.attach_calls(), 1);
  RemoveSnapshots();
  ASSERT_OK(images_->Collect());
  EXPECT_TRUE(mounter_.attached().empty());
}

TEST_F(BootPagesOnNodeTest, ATreeThatCannotBeAttachedInAdvanceIsAttachedWhenItIsAskedFor) {
  mounter_.SetAttachError(Unavailable("no loop device"));
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  EXPECT_TRUE(testing::Eventually([this] { return mounter_.attach_calls() == 1; }));
  images_->WaitForBackgroundForTest();
  mounter_.SetAttachError(absl::OkStatus());
  ASSERT_OK(images_->Attach(image_.chain()));
  EXPECT_EQ(mounter_.read_in_advance().size(), 1U);
}

TEST_F(BootPagesOnNodeTest, APackOfChunksIsNeitherAttachedNorWarmed) {
  testing::WriteBootPackOf(store_, image_, {{0, 0, 4}});
  PullAndWait();
  EXPECT_TRUE(testing::Eventually([this] { return images_->builds_for_test().IdleForTest(); }));
  images_->WaitForBackgroundForTest();
  EXPECT_TRUE(mounter_.attached().empty());
  ASSERT_OK(images_->Attach(image_.chain()));
  EXPECT_TRUE(mounter_.read_in_advance().empty());
}

TEST_F(BootPagesOnNodeTest, ARecordThatIsDamagedBehindThePackIsFetchedAgain) {
  build_delay_ = std::chrono::hours(1);  // nobody looks at the table of the pack
  RestartNode();
  testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
  PullAndWait();
  const std::string record = filler_->records().PathOf(LayersOf(image_.chain())[0].record);
  ASSERT_EQ(truncate(record.c_str(), 30), 0);
  for (int i = 0; i < 2; ++i) (void)filler_->records().recent().Age();
  EXPECT_THAT(images_->Attach(image_.chain()), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_TRUE(testing::Eventually([this] { return images_->Attach(image_.chain()).ok(); }));
}

TEST_F(BootPagesOnNodeTest, WhatIsWarmedIsNotTracedAndWhatIsNotIs) {
  ASSERT_OK_AND_ASSIGN(
      const auto traces,
      StartTraces::Open({.directory = dir_ / "traces", .clock = &clock_, .on_trace = nullptr}));
  start_traces_ = traces.get();
  for (const bool watched : {false, true}) {
    SCOPED_TRACE(watched);
    drawn_ = watched ? 0 : 1;
    RestartNode();
    testing::WritePagePackOf(store_, image_, {{0, 3, 2}});
    PullAndWait();
    ASSERT_OK(images_->Attach(image_.chain()));
    EXPECT_EQ(traces->watched_for_test(), watched ? 1U : 0U);
    EXPECT_EQ(images_->WarmingStats().trees, watched ? 0U : 1U);
    RemoveSnapshots();
    ASSERT_OK(images_->Collect());
  }
  images_.reset();
}

}  // namespace
}  // namespace slacker
