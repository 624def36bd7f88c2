// Attach, and the metadata images that it needs.
#include "backend/erofs/image_builder.h"
#include "snapshotter/files/node_files.h"
#include "tests/support/eventually.h"
#include "tests/unit/snapshotter/images/image_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;
using ImageAttachTest = testing::ImageTest;

TEST_F(ImageAttachTest, ADamagedRecordIsDataLossForAttachAndHealsBehindIt) {
  build_delay_ = std::chrono::hours(1);
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  RestartNode();
  Damage(RecordPath(1), 20);
  EXPECT_THAT(images_->Attach(image_.chain()), StatusIs(absl::StatusCode::kDataLoss));
  images_->WaitForBackgroundForTest();
  EXPECT_OK(images_->Attach(image_.chain()));
}

TEST_F(ImageAttachTest, WhatEnsureHasDecodedNeitherTheBuildNorTheBlobsDecodeAgain) {
  build_delay_ = std::chrono::hours(1);
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  for (size_t layer = 0; layer < image_.manifest.size(); ++layer) Damage(RecordPath(layer), 20);
  ASSERT_OK_AND_ASSIGN(const std::string path, images_->Attach(image_.chain()));
  const TreeSpec spec = mounter_.attached().at(path);
  ASSERT_EQ(spec.blobs.size(), 3U);
  for (const BlobRef& blob : spec.blobs) EXPECT_OK(filler_->Find(blob.id));
  std::vector<const Layer*> layers;
  for (const auto& sample : image_.layers) layers.push_back(&sample.layer);
  std::string expected;
  ASSERT_OK(BuildErofsImage(layers, [&](std::string_view bytes) {
              expected += bytes;
              return absl::OkStatus();
            }).status());
  ASSERT_OK_AND_ASSIGN(const std::string built, ReadSmallFile(spec.metadata_path, 1 << 30));
  EXPECT_EQ(built, expected);
}

TEST_F(ImageAttachTest, AttachMountsOnceAndAnswersTheSamePathAfterARestart) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string path, images_->Attach(image_.chain()));
  ASSERT_OK_AND_ASSIGN(const std::string again, images_->Attach(image_.chain()));
  EXPECT_EQ(path, again);
  EXPECT_EQ(mounter_.attach_calls(), 1);
  const TreeSpec spec = mounter_.attached().at(path);
  ASSERT_EQ(spec.blobs.size(), 3U);
  for (const BlobRef& blob : spec.blobs) {
    ASSERT_OK_AND_ASSIGN(const uint64_t size, filler_->BlobSize(blob.id));
    EXPECT_EQ(size, blob.size_bytes);
  }
  RestartNode();
  mounter_.Forget();
  ASSERT_OK_AND_ASSIGN(const std::string later, images_->Attach(image_.chain()));
  EXPECT_EQ(later, path);
  EXPECT_EQ(mounter_.attached().at(path).blobs.size(), 3U);
}

TEST_F(ImageAttachTest, ATreeThatSomebodyUnmountedIsAttachedAgain) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string path, images_->Attach(image_.chain()));
  mounter_.Forget();
  ASSERT_OK_AND_ASSIGN(const std::string again, images_->Attach(image_.chain()));
  EXPECT_EQ(path, again);
  EXPECT_TRUE(mounter_.attached().contains(path));
  EXPECT_EQ(mounter_.attach_calls(), 2);
}

TEST_F(ImageAttachTest, AttachesOfOneImageDoNotOverlap) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  mounter_.Hold();
  std::vector<std::future<absl::StatusOr<std::string>>> attaches;
  for (int i = 0; i < 8; ++i) {
    attaches.push_back(
        std::async(std::launch::async, [this] { return images_->Attach(image_.chain()); }));
  }
  mounter_.WaitUntilAttaching();
  mounter_.Release();
  for (auto& attach : attaches) EXPECT_OK(attach.get());
  EXPECT_EQ(mounter_.attach_calls(), 1);
}

TEST_F(ImageAttachTest, AFailedAttachIsToldAndTriedAgain) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  mounter_.SetAttachError(Unavailable("no loop device"));
  EXPECT_THAT(images_->Attach(image_.chain()),
              StatusIs(absl::StatusCode::kUnavailable, "no loop device"));
  mounter_.SetAttachError(absl::OkStatus());
  EXPECT_OK(images_->Attach(image_.chain()));
}

TEST_F(ImageAttachTest, ADamagedMetadataImageIsBuiltAgain) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string path, images_->Attach(image_.chain()));
  const std::string metadata = mounter_.attached().at(path).metadata_path;
  const std::string meta = metadata.substr(0, metadata.size() - 5) + "meta";
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadSmallFile(metadata, 1 << 20));
  for (const std::string& damaged : {metadata, meta}) {
    StopNode();
    Damage(damaged, 30);
    StartNode();
    ASSERT_OK(images_->Attach(image_.chain()));
    ASSERT_OK_AND_ASSIGN(const std::string rebuilt, ReadSmallFile(metadata, 1 << 20));
    EXPECT_TRUE(rebuilt == good);
  }
}

TEST_F(ImageAttachTest, EnsureBuildsTheMetadataInTheBackground) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  EXPECT_TRUE(testing::Eventually([&] { return images_->builds_for_test().IdleForTest(); }));
  EXPECT_EQ(CountFiles("images"), 2U);
}

TEST_F(ImageAttachTest, WhatIsNotTheTopIsNotBuilt) {
  const Labels hints = {{"containerd.io/snapshot/cri.image-layers", "sha256:a,sha256:b"}};
  ASSERT_OK(images_->Ensure(image_.chains[0], hints));
  EXPECT_TRUE(images_->builds_for_test().IdleForTest());
  EXPECT_EQ(CountFiles("images"), 0U);
}

TEST_F(ImageAttachTest, TheNextLayerCallsOffTheBuildOfTheOneBelow) {
  build_delay_ = std::chrono::hours(1);
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chains[0], {}));
  EXPECT_FALSE(images_->builds_for_test().IdleForTest());
  const Labels hints = {{"containerd.io/snapshot/cri.image-layers", "sha256:b,sha256:c"}};
  ASSERT_OK(images_->Ensure(image_.chains[1], hints));
  EXPECT_TRUE(images_->builds_for_test().IdleForTest());
}

TEST_F(ImageAttachTest, ASecondPullCallsOffTheBuildsBelowItsTopToo) {
  for (const Digest& chain : image_.chains) {
    ASSERT_OK(images_->Ensure(chain, {}));
    AddSnapshot(chain);
  }
  build_delay_ = std::chrono::hours(1);
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chains[0], {}));
  const Labels hints = {{"containerd.io/snapshot/cri.image-layers", "sha256:b,sha256:c"}};
  ASSERT_OK(images_->Ensure(image_.chains[1], hints));
  EXPECT_TRUE(images_->builds_for_test().IdleForTest());
}

TEST_F(ImageAttachTest, AnAttachThatEndsWithAnExceptionLeavesTheTurnToTheNext) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  mounter_.ThrowOnce();
  EXPECT_THROW((void)images_->Attach(image_.chain()), std::bad_alloc);
  EXPECT_OK(images_->Attach(image_.chain()));
}

}  // namespace
}  // namespace slacker
