#include "snapshotter/images/image_manager.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "snapshotter/images/node_files.h"
#include "tests/unit/snapshotter/images/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

class ImageManagerTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    std::vector<testing::SampleLayer> layers;
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      layers.push_back(testing::MakeSampleLayer(seed));
      const std::string text = "of layer " + std::to_string(seed);
      testing::AddSampleFile(&layers.back(), 0, "own" + std::to_string(seed), text);
    }
    image_ = testing::Publish(store_, std::move(layers));
    NodeTest::SetUp();
  }
  std::string RecordPath(size_t layer) const {
    return dir_.path() + "/records/" + image_.manifest[layer].record.ToHex();
  }
  bool Exists(const std::string& name) { return access((dir_ / name).c_str(), F_OK) == 0; }
  size_t CountFiles(const std::string& directory) {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(dir_ / directory)) {
      ++count;
    }
    return count;
  }
  static void Damage(const std::string& path, off_t at) {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(pread(fd.get(), &byte, 1, at), 1);
    byte = static_cast<char>(byte ^ 0x40);
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, at), 1);
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(CountFiles("records"), 0U);
    EXPECT_EQ(CountFiles("images"), 0U);
    EXPECT_EQ(CountFiles("blobs"), 0U);
    EXPECT_EQ(CountFiles("snapshots"), 0U);
    EXPECT_TRUE(mounter_.attached().empty());
  }

  testing::PublishedImage image_;
};

TEST_F(ImageManagerTest, AfterEnsureTheRecordsAreOnTheNodeAndTheStoreIsNotNeeded) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(access(RecordPath(i).c_str(), R_OK), 0);
  faulty_->FailFrom(1, Unavailable("down"));
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  ASSERT_OK(images_->Attach(image_.chain()));
}

TEST_F(ImageManagerTest, AnUnpublishedChainIsNotFoundAndLeavesNothing) {
  EXPECT_THAT(images_->Ensure(Sha256::Of("unknown"), {}), StatusIs(absl::StatusCode::kNotFound));
  ExpectNothingLeft();
}

TEST_F(ImageManagerTest, EveryFailingCallOfTheStoreFailsEnsureAndTheNextOneSucceeds) {
  faulty_->FailFrom(1000000, Unavailable("never"));
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  images_->WaitForBackgroundForTest();
  const uint64_t calls = faulty_->calls();
  ASSERT_GE(calls, 5U);
  for (uint64_t n = 1; n <= 5; ++n) {  // the manifest, its grant and the three records
    StopNode();
    std::filesystem::remove_all(dir_.path() + "/records");
    std::filesystem::remove(dir_.path() + "/slacker.db");
    std::filesystem::remove(dir_.path() + "/slacker.db-wal");
    std::filesystem::remove(dir_.path() + "/slacker.db-shm");
    StartNode();
    faulty_->FailCall(n, Unavailable("down"));
    EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(absl::StatusCode::kUnavailable))
        << "call " << n;
    EXPECT_TRUE(LayersOf(image_.chain()).empty());
    faulty_->Heal();
    EXPECT_OK(images_->Ensure(image_.chain(), {}));
    EXPECT_EQ(LayersOf(image_.chain()).size(), 3U);
  }
}

TEST_F(ImageManagerTest, DamagedObjectsOfTheStoreAreDataLoss) {
  for (const std::string prefix : {"manifests/", "records/"}) {
    faulty_->SetReadFilter([&](std::string_view name, uint64_t, std::string* bytes) {
      if (name.starts_with(prefix)) bytes->back() = static_cast<char>(bytes->back() ^ 1);
    });
    EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(absl::StatusCode::kDataLoss))
        << prefix;
    EXPECT_TRUE(LayersOf(image_.chain()).empty());
  }
}

TEST_F(ImageManagerTest, AManifestOfAnotherChainIsDataLoss) {
  const auto other = testing::Publish(store_, std::vector<uint32_t>{7});
  const std::string name = "manifests/" + other.chain().ToHex() + "/unsigned";
  auto names = store_->List("manifests/");
  ASSERT_OK(names);
  std::string mine;
  std::string others;
  for (const std::string& object : *names) {
    if (object.find(image_.chain().ToHex()) != std::string::npos) mine = object;
    if (object.find(other.chain().ToHex()) != std::string::npos) others = object;
  }
  ASSERT_FALSE(mine.empty());
  ASSERT_OK_AND_ASSIGN(const std::string bytes, store_->ReadWhole(others, 1 << 20));
  ASSERT_OK(store_->Replace(mine, bytes));
  EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ImageManagerTest, ASlowStoreIsGivenUpWithinTheBudget) {
  store_->HoldReads();
  auto ensured = std::async(std::launch::async,
                            [this] { return images_->Ensure(image_.chain(), {}).status(); });
  while (ensured.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_THAT(ensured.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  store_->ReleaseReads();
}

TEST_F(ImageManagerTest, PrefixesBringOneRecordEach) {
  for (const Digest& chain : image_.chains) {
    ASSERT_OK(images_->Ensure(chain, {}));
    images_->WaitForBackgroundForTest();
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(store_->ReadsOf("records/" + image_.manifest[i].record.ToHex()), 1U);
  }
}

TEST_F(ImageManagerTest, ManyEnsuresOfOneChainAskTheStoreOnce) {
  store_->HoldReads();
  std::vector<std::future<absl::StatusOr<ImagePin>>> ensures;
  for (int i = 0; i < 8; ++i) {
    ensures.push_back(
        std::async(std::launch::async, [this] { return images_->Ensure(image_.chain(), {}); }));
  }
  store_->WaitForHeldReads(1);
  store_->ReleaseReads();
  for (auto& ensure : ensures) EXPECT_OK(ensure.get());
  EXPECT_EQ(store_->ReadsOf("records/" + image_.manifest[0].record.ToHex()), 1U);
}

TEST_F(ImageManagerTest, ADamagedRecordOnTheNodeIsFetchedAgainByEnsure) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  StopNode();
  Damage(RecordPath(1), 20);
  StartNode();
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  RecordFiles records(dir_ / "records");
  EXPECT_OK(records.Load(image_.manifest[1].record));
}

TEST_F(ImageManagerTest, ADamagedRecordIsDataLossForAttachAndHealsBehindIt) {
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

TEST_F(ImageManagerTest, AttachMountsOnceAndAnswersTheSamePathAfterARestart) {
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

TEST_F(ImageManagerTest, AttachesOfOneImageDoNotOverlap) {
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

TEST_F(ImageManagerTest, AFailedAttachIsToldAndTriedAgain) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  mounter_.SetAttachError(Unavailable("no loop device"));
  EXPECT_THAT(images_->Attach(image_.chain()),
              StatusIs(absl::StatusCode::kUnavailable, "no loop device"));
  mounter_.SetAttachError(absl::OkStatus());
  EXPECT_OK(images_->Attach(image_.chain()));
}

TEST_F(ImageManagerTest, ADamagedMetadataImageIsBuiltAgain) {
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

TEST_F(ImageManagerTest, EnsureBuildsTheMetadataInTheBackground) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  testing::WaitUntil([&] { return images_->builds_for_test().IdleForTest(); });
  EXPECT_EQ(CountFiles("images"), 2U);
}

TEST_F(ImageManagerTest, WhatIsNotTheTopIsNotBuilt) {
  const Labels hints = {{"containerd.io/snapshot/cri.image-layers", "sha256:a,sha256:b"}};
  ASSERT_OK(images_->Ensure(image_.chains[0], hints));
  EXPECT_TRUE(images_->builds_for_test().IdleForTest());
  EXPECT_EQ(CountFiles("images"), 0U);
}

TEST_F(ImageManagerTest, TheNextLayerCallsOffTheBuildOfTheOneBelow) {
  build_delay_ = std::chrono::hours(1);
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chains[0], {}));
  EXPECT_FALSE(images_->builds_for_test().IdleForTest());
  const Labels hints = {{"containerd.io/snapshot/cri.image-layers", "sha256:b,sha256:c"}};
  ASSERT_OK(images_->Ensure(image_.chains[1], hints));
  EXPECT_TRUE(images_->builds_for_test().IdleForTest());
}

TEST_F(ImageManagerTest, ASecondPullCallsOffTheBuildsBelowItsTopToo) {
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

TEST_F(ImageManagerTest, CollectLeavesNothingOfAnUnreferencedImage) {
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

TEST_F(ImageManagerTest, APinKeepsAnImageThatNoSnapshotRefersTo) {
  ASSERT_OK_AND_ASSIGN(ImagePin pin, images_->Ensure(image_.chain(), {}));
  ASSERT_OK(images_->Collect());
  EXPECT_EQ(LayersOf(image_.chain()).size(), 3U);
  pin = ImagePin();
  images_->WaitForBackgroundForTest();
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
}

TEST_F(ImageManagerTest, BlobsThatAContainerStillReadsStayReadable) {
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

TEST_F(ImageManagerTest, LayersThatAnotherImageNeedsStay) {
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

TEST_F(ImageManagerTest, AnImageThatCannotBeDetachedStaysAndGoesLater) {
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

TEST_F(ImageManagerTest, StartRemovesWhatACrashLeft) {
  StopNode();
  for (const char* name : {"records/x.new", "images/7.erofs", "blobs/99.data", "blobs/99.map"}) {
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

TEST_F(ImageManagerTest, UsageCountsWhatIsAllocated) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  ASSERT_OK_AND_ASSIGN(const SnapshotUsage before, images_->Usage(image_.chain()));
  EXPECT_GT(before.size_bytes, 0);
  EXPECT_EQ(before.inodes, 1);
  const auto layers = LayersOf(image_.chain());
  ASSERT_OK(Read(layers[2].id, 0, static_cast<uint32_t>(layers[2].size_bytes)));
  testing::WaitUntil([&] {
    const auto usage = images_->Usage(image_.chain());
    return usage.ok() && usage->inodes == 2 && usage->size_bytes > before.size_bytes;
  });
}

TEST_F(ImageManagerTest, EnsureAttachAndCollectAtOnceNeverBreakAnImage) {
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
