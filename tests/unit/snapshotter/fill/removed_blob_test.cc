// A blob whose images are removed while its chunks are on their way. No time passes here: nothing is
// ended by the stall timeout.
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

class RemovedBlobTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {testing::MakeBigLayer(40), testing::MakeBigLayer(3, 9)});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    const auto layers = LayersOf(image_.chain());
    ASSERT_EQ(layers.size(), 2U);
    id_ = layers[0].id;
    other_id_ = layers[1].id;
    const auto blob = filler_->Find(id_);
    ASSERT_OK(blob);
    blob_ = *blob;
  }
  std::future<absl::Status> FillAll() {
    const auto blob = blob_.lock();
    const auto chunks = static_cast<uint32_t>(blob->layer().chunks.size());
    auto promise = std::make_shared<std::promise<absl::Status>>();
    filler_->FillAsync(blob, 0, chunks, [promise](const auto& done) { promise->set_value(done); });
    return promise->get_future();
  }
  // With it go the descriptors of its file, and so its space.
  bool IsLetGo() const {
    return testing::Eventually([&] { return blob_.expired(); });
  }

  testing::PublishedImage image_;
  uint64_t id_ = 0, other_id_ = 0;
  std::weak_ptr<LayerBlob> blob_;
};

TEST_F(RemovedBlobTest, WhatIsTriedAgainIsAnsweredAndTheFileIsLetGo) {
  faulty_->FailFrom(1, Unavailable("down"));
  auto fill = FillAll();
  EXPECT_TRUE(testing::Eventually([&] { return filler_->Stats().retries > 0; }));
  EXPECT_FALSE(blob_.expired());
  ASSERT_OK(filler_->Remove(id_));
  EXPECT_THAT(fill.get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(IsLetGo());
  EXPECT_EQ(filler_->Stats().stalled, 0U);
}

TEST_F(RemovedBlobTest, WhatTheStoreHoldsIsAnsweredAtOnceAndItsLateAnswerIsDropped) {
  store_->HoldReads("packs/");
  auto fill = FillAll();
  store_->WaitForHeldReads(1);
  ASSERT_OK(filler_->Remove(id_));
  EXPECT_THAT(fill.get(), StatusIs(absl::StatusCode::kCancelled));
  store_->ReleaseReads();
  EXPECT_TRUE(IsLetGo());
  EXPECT_EQ(filler_->Stats().chunks_filled, 0U);
}

TEST_F(RemovedBlobTest, WhatComesWrongIsNotLookedForElsewhere) {
  store_->HoldReads("packs/");
  auto fill = FillAll();
  store_->WaitForHeldReads(1);
  faulty_->SetReadFilter(
      [](std::string_view, uint64_t, std::string* bytes) { bytes->assign(1, 'x'); });
  ASSERT_OK(filler_->Remove(id_));
  EXPECT_THAT(fill.get(), StatusIs(absl::StatusCode::kCancelled));
  const uint64_t reads = store_->counts().reads;
  store_->ReleaseReads();
  EXPECT_TRUE(IsLetGo());
  EXPECT_EQ(store_->counts().reads, reads);
  EXPECT_EQ(filler_->Stats().chunks_damaged, 0U);
}

TEST_F(RemovedBlobTest, WhoAsksForMoreOfItIsRefused) {
  const auto blob = blob_.lock();
  ASSERT_OK(filler_->Remove(id_));
  const uint64_t reads = store_->counts().reads;
  EXPECT_THAT(filler_->Fill(blob, 0, 1, [] { return false; }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(store_->counts().reads, reads);
}

TEST_F(RemovedBlobTest, OthersGetWhatTheyWaitFor) {
  store_->HoldReads("packs/");
  auto fill = FillAll();
  auto read = StartRead(other_id_, 0, 100);
  store_->WaitForHeldReads(2);
  ASSERT_OK(filler_->Remove(id_));
  EXPECT_THAT(fill.get(), StatusIs(absl::StatusCode::kCancelled));
  store_->ReleaseReads();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, read.get());
  EXPECT_EQ(bytes, image_.BlobContent(1).substr(0, 100));
}

}  // namespace
}  // namespace slacker
