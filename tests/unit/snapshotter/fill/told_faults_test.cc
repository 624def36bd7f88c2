// What the log and status say of chunks that are not right: one line when that begins, one when it is
// over.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "snapshotter/fill/blob_filler.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

int CountOf(const std::string& log, std::string_view text) {
  int found = 0;
  for (size_t at = log.find(text); at != log.npos; at = log.find(text, at + 1)) ++found;
  return found;
}

class ToldFaultsTest : public testing::NodeTest {
 protected:
  static constexpr uint32_t kChunks = 8;

  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeLayerOfBigChunks(kChunks, 1)});
    content_ = image_.BlobContent(0);
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    row_ = LayersOf(image_.chain())[0];
    ASSERT_OK(Read(row_.id, 0, 1));  // so that the locations are known
  }
  uint64_t OffsetOf(uint32_t chunk) const {
    return image_.layers[0].layer.chunks[chunk].blob_offset;
  }
  void DamageStore() {
    faulty_->SetReadFilter([](std::string_view name, uint64_t, std::string* bytes) {
      if (name.starts_with("packs/")) bytes->back() = static_cast<char>(bytes->back() ^ 1);
    });
  }
  void ReadFails(uint32_t chunk) {
    EXPECT_THAT(Read(row_.id, OffsetOf(chunk), 1), StatusIs(absl::StatusCode::kDataLoss));
  }
  void ReadIsRight(uint32_t chunk) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(row_.id, OffsetOf(chunk), 100));
    EXPECT_TRUE(bytes == content_.substr(OffsetOf(chunk), 100)) << chunk;
  }
  void Tell() {
    ASSERT_OK_AND_ASSIGN(const auto blob, filler_->Find(row_.id));
    EXPECT_TRUE(testing::Eventually([&] { return !blob->HasFills(); }));
    filler_->engine().TellFaults(*blob);
  }

  testing::PublishedImage image_;
  std::string content_;
  BlobRow row_;
};

TEST_F(ToldFaultsTest, DamageInTheStoreIsOneLineAtItsBeginningAndOneAtItsEnd) {
  ::testing::internal::CaptureStderr();
  DamageStore();
  for (const uint32_t chunk : {2U, 4U, 2U, 6U, 2U}) ReadFails(chunk);
  EXPECT_TRUE(testing::Eventually([this] { return filler_->Stats().chunks_damaged == 5; }));
  clock_.Advance(std::chrono::seconds(60));
  Tell();
  const auto faults = filler_->DescribeFaults();
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].record, row_.record);
  EXPECT_EQ(faults[0].images, image_.chain().ToString());
  EXPECT_FALSE(faults[0].on_disk.has_value());
  ASSERT_TRUE(faults[0].in_store.has_value());
  EXPECT_EQ(faults[0].in_store->wrong, 3U);
  EXPECT_EQ(faults[0].in_store->times, 5U);
  faulty_->SetReadFilter(nullptr);
  for (const uint32_t chunk : {2U, 4U, 6U}) ReadIsRight(chunk);
  Tell();
  EXPECT_TRUE(filler_->DescribeFaults().empty());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(CountOf(log, "\"level\":\"warning\""), 1) << log;
  EXPECT_EQ(CountOf(log, "chunks of a layer are missing or damaged in the store"), 1) << log;
  EXPECT_EQ(CountOf(log, "missing or damaged chunks of a layer are right again"), 1) << log;
  EXPECT_THAT(log, HasSubstr(R"("seconds":"60","chunks":"3","times":"5","still_wrong":"0")"));
}

TEST_F(ToldFaultsTest, DamageThatNobodyCanReadAnyMoreHasAnEndToo) {
  ::testing::internal::CaptureStderr();
  DamageStore();
  ReadFails(2);
  EXPECT_TRUE(testing::Eventually([this] { return !filler_->DescribeFaults().empty(); }));
  RemoveSnapshots();
  ASSERT_OK(images_->Collect());
  EXPECT_TRUE(filler_->DescribeFaults().empty());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(CountOf(log, "a layer with missing or damaged chunks was removed"), 1) << log;
  EXPECT_THAT(log, HasSubstr(R"("still_wrong":"1")"));
}

TEST_F(ToldFaultsTest, WhatTheDiskDoesIsToldTheSameWay) {
  for (const uint32_t chunk : {0U, 2U, 4U}) ReadIsRight(chunk);
  Tell();
  ASSERT_OK(filler_->Flush());
  ::testing::internal::CaptureStderr();
  for (int round = 0; round < 2; ++round) {
    for (const uint32_t chunk : {2U, 4U}) {
      const UniqueFd fd(
          open((dir_ / ("blobs/" + std::to_string(row_.id) + ".data")).c_str(), O_WRONLY));
      ASSERT_EQ(pwrite(fd.get(), "damage", 6, static_cast<off_t>(OffsetOf(chunk))), 6);
      ReadIsRight(chunk);
    }
    Tell();
    clock_.Advance(std::chrono::seconds(5));
  }
  const auto faults = filler_->DescribeFaults();
  ASSERT_EQ(faults.size(), 1U);
  ASSERT_TRUE(faults[0].on_disk.has_value()) << "it may go on like this";
  EXPECT_EQ(faults[0].on_disk->wrong, 0U);
  clock_.Advance(std::chrono::seconds(5));
  Tell();
  EXPECT_TRUE(filler_->DescribeFaults().empty());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(CountOf(log, "the disk has damaged a blob cache"), 1) << log;
  EXPECT_EQ(CountOf(log, "the disk damages a blob cache no more"), 1) << log;
  EXPECT_THAT(log, HasSubstr(R"("chunks":"2","times":"4","still_wrong":"0")"));
}

TEST_F(ToldFaultsTest, TheEndIsToldWithoutBeingAskedFor) {
  flush_interval_ = std::chrono::milliseconds(1);
  RestartNode();
  ASSERT_OK(Read(row_.id, 0, 1));
  DamageStore();
  ReadFails(2);
  EXPECT_TRUE(testing::Eventually([this] { return !filler_->DescribeFaults().empty(); }));
  faulty_->SetReadFilter(nullptr);
  ReadIsRight(2);
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(testing::Eventually([this] { return filler_->DescribeFaults().empty(); }));
}

TEST_F(ToldFaultsTest, AStoreThatHangsIsToldOfWhileReadsWait) {
  store_->HoldReads("packs/");
  auto read = StartRead(row_.id, OffsetOf(2), 1);
  store_->WaitForHeldReads(1);
  EXPECT_FALSE(filler_->engine().DescribeOutage().silent);
  clock_.Advance(StoreOutage::kSilence);
  EXPECT_TRUE(testing::Eventually([this] { return filler_->engine().DescribeOutage().silent; }));
  store_->ReleaseReads();
  EXPECT_OK(read.get());
  ReadIsRight(4);
  EXPECT_TRUE(testing::Eventually([this] { return !filler_->engine().DescribeOutage().silent; }));
}

}  // namespace
}  // namespace slacker
