// Collect: what goes, what stays, and what it meets on its way; and usage.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>

#include "tests/support/eventually.h"
#include "tests/unit/snapshotter/images/image_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;
using ImageCollectTest = testing::ImageTest;

TEST_F(ImageCollectTest, CollectLeavesNothingOfAnUnreferencedImage) {
  {
    ASSERT_OK_AND_ASSIGN(const ImagePin pin, images_->Ensure(image_.chain(), {}));
    AddSnapshot(image_.chain());
  }
  images_->WaitForBackgroundForTest();
  ASSERT_OK(images_->Attach(image_.chain()));
  const auto layers = LayersOf(image_.chain());
  ASSERT_OK(Read(layers[0].id, 0, 4096));
  ASSERT_OK(images_->Collect());
  EXPECT_EQ(mounter_.attached().size(), 1U) << "a snapshot refers to it";
  RemoveSnapshots();
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
  ASSERT_OK(images_->Collect());
  EXPECT_THAT(images_->Attach(image_.chain()), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(Read(layers[0].id, 0, 4096), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ImageCollectTest, AStartRemovesItsOwnStrayFilesAndLeavesThoseOfOthers) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  ASSERT_OK(images_->Attach(image_.chain()));
  images_->WaitForBackgroundForTest();
  StopNode();
  const std::string unknown(64, 'a');
  const std::string known = image_.manifest[0].record.ToHex();
  const std::string strays[] = {
      "records/" + unknown,
      "records/" + unknown + ".loc",
      "records/" + unknown + ".loc.new",
      "records/" + known + ".new",
      "images/99.erofs",
      "images/99.meta",
      "images/99.erofs.new",
      "images/1.meta.new",
      "blobs/99.data",
      "blobs/99.map",
      "blobs/99.map.new",
      "blobs/1.map.new",
  };
  const std::string others[] = {
      "records/notes",
      "records/" + unknown + ".txt",
      "records/" + std::string(64, 'A'),
      "images/photo.jpg",
      "images/99.jpg",
      "images/099.erofs",
      "images/.erofs",
      "images/x.new",
      "blobs/notes.data",
      "blobs/99.database",
      "blobs/-1.map",
      "blobs/.data",
      "blobs/99999999999999999999.data",
  };
  for (const std::string& name : strays) std::ofstream(dir_ / name) << name;
  for (const std::string& name : others) std::ofstream(dir_ / name) << name;
  for (const char* directory : {"records", "images", "blobs"}) {
    std::filesystem::create_directory(dir_ / (std::string(directory) + "/folder"));
  }
  const size_t records = CountFiles("records"), images = CountFiles("images"),
               blobs = CountFiles("blobs");
  StartNode();
  for (const std::string& name : strays) EXPECT_FALSE(Exists(name)) << name;
  for (const std::string& name : others) EXPECT_TRUE(Exists(name)) << name;
  EXPECT_EQ(CountFiles("records"), records - 4);
  EXPECT_EQ(CountFiles("images"), images - 4);
  EXPECT_EQ(CountFiles("blobs"), blobs - 4);
}

TEST_F(ImageCollectTest, APinKeepsAnImageThatNoSnapshotRefersTo) {
  ASSERT_OK_AND_ASSIGN(ImagePin pin, images_->Ensure(image_.chain(), {}));
  ASSERT_OK(images_->Collect());
  EXPECT_EQ(LayersOf(image_.chain()).size(), 3U);
  pin = ImagePin();
  images_->WaitForBackgroundForTest();
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
}

TEST_F(ImageCollectTest, BlobsThatAContainerStillReadsStayReadable) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  images_->WaitForBackgroundForTest();
  const auto layers = LayersOf(image_.chain());
  mounter_.SetHeldBlobs({layers[0].id});
  ASSERT_OK(images_->Collect());
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Read(layers[0].id, 0, 100));
  EXPECT_TRUE(bytes == image_.BlobContent(0).substr(0, 100));
  EXPECT_THAT(Read(layers[1].id, 0, 100), StatusIs(absl::StatusCode::kNotFound));
  mounter_.SetHeldBlobs({});
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
}

TEST_F(ImageCollectTest, LayersThatAnotherImageNeedsStay) {
  ASSERT_OK(images_->Ensure(image_.chains[1], {}));
  AddSnapshot(image_.chains[1]);
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  images_->WaitForBackgroundForTest();
  ASSERT_OK(images_->Collect());
  EXPECT_TRUE(LayersOf(image_.chain()).empty());
  EXPECT_EQ(LayersOf(image_.chains[1]).size(), 2U);
  faulty_->FailFrom(1, Unavailable("down"));
  EXPECT_OK(images_->Ensure(image_.chains[1], {}));
  EXPECT_OK(images_->Attach(image_.chains[1]));
}

TEST_F(ImageCollectTest, AnImageThatCannotBeDetachedStaysAndGoesLater) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  ASSERT_OK(images_->Attach(image_.chain()));
  images_->WaitForBackgroundForTest();
  mounter_.SetDetachError(Internal("busy"));
  EXPECT_THAT(images_->Collect(), StatusIs(absl::StatusCode::kInternal, "busy"));
  EXPECT_EQ(LayersOf(image_.chain()).size(), 3U);
  mounter_.SetDetachError(absl::OkStatus());
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
}

TEST_F(ImageCollectTest, WhatARestartIsAttachingAgainIsNotLeftBehind) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  ASSERT_OK(images_->Attach(image_.chain()));
  images_->WaitForBackgroundForTest();
  StopNode();
  mounter_.Hold();
  StartNode();
  mounter_.WaitUntilAttaching();
  auto collected = std::async(std::launch::async, [this] { return images_->Collect(); });
  EXPECT_EQ(collected.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  mounter_.Release();
  EXPECT_OK(collected.get());
  ExpectNothingLeft();
}

TEST_F(ImageCollectTest, StartRemovesWhatACrashLeft) {
  StopNode();
  for (const std::string& name :
       {"records/" + std::string(64, 'a') + ".new", std::string("images/7.erofs"),
        std::string("blobs/99.data"), std::string("blobs/99.map")}) {
    std::ofstream(dir_ / name) << "left over";
  }
  ASSERT_EQ(mkdir((dir_ / "snapshots/i7").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((dir_ / "snapshots/i7/fs").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((dir_ / "snapshots/7").c_str(), 0755), 0);
  StartNode();
  EXPECT_TRUE(Exists("snapshots/7")) << "an ordinary snapshot is not ours";
  ASSERT_EQ(rmdir((dir_ / "snapshots/7").c_str()), 0);
  ExpectNothingLeft();
}

TEST_F(ImageCollectTest, UsageCountsWhatIsAllocated) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  ASSERT_OK_AND_ASSIGN(const SnapshotUsage before, images_->Usage(image_.chain()));
  EXPECT_GT(before.size_bytes, 0);
  EXPECT_EQ(before.inodes, 1);
  const auto layers = LayersOf(image_.chain());
  ASSERT_OK(Read(layers[2].id, 0, static_cast<uint32_t>(layers[2].size_bytes)));
  EXPECT_TRUE(testing::Eventually([&] {
    const auto usage = images_->Usage(image_.chain());
    return usage.ok() && usage->inodes == 2 && usage->size_bytes > before.size_bytes;
  }));
}

TEST_F(ImageCollectTest, EnsureAttachAndCollectAtOnceNeverBreakAnImage) {
  std::atomic<bool> stop = false;
  std::thread collector([&] {
    while (!stop) EXPECT_OK(images_->Collect());
  });
  std::vector<std::thread> users;
  for (int t = 0; t < 4; ++t) {
    users.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const Digest& chain = image_.chains[static_cast<size_t>(t + i) % 3];
        const auto pin = images_->Ensure(chain, {});
        ASSERT_OK(pin);
        const auto path = images_->Attach(chain);
        ASSERT_OK(path);
        EXPECT_TRUE(mounter_.attached().contains(*path));
        const auto layers = LayersOf(chain);
        ASSERT_FALSE(layers.empty());
        const auto bytes = Read(layers[0].id, 0, 64);
        ASSERT_OK(bytes);
        EXPECT_TRUE(*bytes == image_.BlobContent(0).substr(0, 64));
      }
    });
  }
  for (std::thread& user : users) user.join();
  stop = true;
  collector.join();
  images_->WaitForBackgroundForTest();
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
}

}  // namespace
}  // namespace slacker
