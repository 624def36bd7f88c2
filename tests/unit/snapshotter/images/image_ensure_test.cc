// Ensure: what an image's arrival asks of the store, and what it leaves.
#include <unistd.h>

#include "tests/unit/snapshotter/images/image_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;
using ImageEnsureTest = testing::ImageTest;

TEST_F(ImageEnsureTest, AfterEnsureTheRecordsAreOnTheNodeAndTheStoreIsNotNeeded) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(access(RecordPath(i).c_str(), R_OK), 0);
  faulty_->FailFrom(1, Unavailable("down"));
  RestartNode();
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  ASSERT_OK(images_->Attach(image_.chain()));
}

TEST_F(ImageEnsureTest, AnUnpublishedChainIsNotFoundAndLeavesNothing) {
  EXPECT_THAT(images_->Ensure(Sha256::Of("unknown"), {}), StatusIs(absl::StatusCode::kNotFound));
  ExpectNothingLeft();
}

TEST_F(ImageEnsureTest, EveryFailingCallOfTheStoreFailsEnsureAndTheNextOneSucceeds) {
  faulty_->FailFrom(1000000, Unavailable("never"));
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  images_->WaitForBackgroundForTest();
  const uint64_t calls = faulty_->calls();
  ASSERT_GE(calls, 6U);
  // Beside the boot pack, which is the first and may fail: the manifest, its grant, three records.
  for (uint64_t n = 2; n <= 6; ++n) {
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

TEST_F(ImageEnsureTest, AnEnsureThatEndsWithAnExceptionAnywhereLeavesTheImageToTheNext) {
  bool thrown = true;
  for (int n = 1; thrown; ++n) {
    testing::FakeClock::ThrowInThisThread(n);
    try {
      EXPECT_OK(images_->Ensure(image_.chain(), {}));
      thrown = false;
      EXPECT_GT(n, 3) << "there are looks while it is brought";
    } catch (const std::bad_alloc&) {
    }
    testing::FakeClock::ThrowInThisThread(0);
    EXPECT_OK(images_->Ensure(image_.chain(), {})) << "after look " << n;
    StopNode();
    std::filesystem::remove_all(dir_.path() + "/records");
    for (const char* end : {"", "-wal", "-shm"}) {
      std::filesystem::remove(dir_.path() + "/slacker.db" + end);
    }
    StartNode();
  }
}

TEST_F(ImageEnsureTest, DamagedObjectsOfTheStoreAreDataLoss) {
  for (const std::string prefix : {"manifests/", "records/"}) {
    faulty_->SetReadFilter([prefix](std::string_view name, uint64_t, std::string* bytes) {
      if (name.starts_with(prefix)) bytes->back() = static_cast<char>(bytes->back() ^ 1);
    });
    EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(absl::StatusCode::kDataLoss))
        << prefix;
    EXPECT_TRUE(LayersOf(image_.chain()).empty());
  }
}

TEST_F(ImageEnsureTest, AManifestOfAnotherChainIsDataLoss) {
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

TEST_F(ImageEnsureTest, ASlowStoreIsGivenUpWithinTheBudget) {
  store_->HoldReads();
  auto ensured = std::async(std::launch::async,
                            [this] { return images_->Ensure(image_.chain(), {}).status(); });
  while (ensured.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_THAT(ensured.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  store_->ReleaseReads();
}

TEST_F(ImageEnsureTest, PrefixesBringOneRecordEach) {
  for (const Digest& chain : image_.chains) {
    ASSERT_OK(images_->Ensure(chain, {}));
    images_->WaitForBackgroundForTest();
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(store_->ReadsOf("records/" + image_.manifest[i].record.ToHex()), 1U);
  }
}

TEST_F(ImageEnsureTest, ManyEnsuresOfOneChainAskTheStoreOnce) {
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

TEST_F(ImageEnsureTest, ADamagedRecordOnTheNodeIsFetchedAgainByEnsure) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  StopNode();
  Damage(RecordPath(1), 20);
  StartNode();
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  RecordFiles records(dir_ / "records");
  EXPECT_OK(records.Load(image_.manifest[1].record));
}

TEST_F(ImageEnsureTest, StoppingDoesNotWaitForAStoreThatHangs) {
  store_->HoldReads();
  auto ensure =
      std::async(std::launch::async, [&] { return images_->Ensure(image_.chain(), {}).status(); });
  store_->WaitForHeldReads(1);
  while (ensure.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_THAT(ensure.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  images_->Stop();
  filler_->Stop();
  store_->ReleaseReads();
}

}  // namespace
}  // namespace slacker
