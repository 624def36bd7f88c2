// Attaching with the real kernel: one tree, and what happens to it.
#include "snapshotter/attach/kernel_tree_mounter.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <future>
#include <vector>

#include "backend/os/mount.h"
#include "tests/support/loop_mount.h"
#include "tests/support/page_cache.h"
#include "tests/support/processes.h"
#include "tests/unit/snapshotter/attach/kernel_tree_fixture.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using testing::FakeBlobSource;
using testing::kBlobId;
using testing::KernelTreeMounterTest;
using testing::kFiles;
using testing::Shell;
using testing::StatusIs;

// Of a blob's device: nothing buffered, which could end a short read with zeros.
constexpr char kDirect[] = "direct 1\nblock 4096\n";

TEST_F(KernelTreeMounterTest, AttachedTreeReadsAsItsSource) {
  ASSERT_OK(mounter_->Attach(Spec()));
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  ASSERT_OK_AND_ASSIGN(const BlobsInUse blobs, mounter_->FindBlobsInUse());
  EXPECT_EQ(blobs.on_fuse, std::set<uint64_t>{kBlobId});
  EXPECT_GT(connection_->counters().reads, 0U);
  EXPECT_EQ(connection_->counters().errors, 0U);
}

TEST_F(KernelTreeMounterTest, MetadataIsReadBeforeAnybodyAsksForIt) {
  std::filesystem::create_directories(directory_ / "many");
  const testing::ErofsSample many(directory_ / "many", 20'000, 10);
  source_.Add(2, testing::ReadWholeFile(many.blob));
  const size_t size = std::filesystem::file_size(many.metadata);
  ASSERT_GT(size, 1'500'000U) << "more than one request";
  int looks = 0;
  EXPECT_TRUE(testing::Eventually([&] {
    if (looks++ % 500 == 0) {  // again, should somebody else have dropped the caches
      EXPECT_OK(mounter_->Detach(tree_));
      EXPECT_OK(mounter_->Attach({many.metadata, tree_, {{2, many.blob_bytes()}}}));
    }
    return testing::IsCached("/dev/" + DeviceOf(many.metadata), size);
  }));
}

TEST_F(KernelTreeMounterTest, PartsOfFilesAreReadBeforeAnybodyAsksForThem) {
  ASSERT_OK(mounter_->Attach(Spec()));
  std::vector<FileRange> ranges;
  for (const auto& entry : std::filesystem::directory_iterator(tree_)) {
    if (!entry.is_regular_file()) continue;
    ranges.push_back({"/" + entry.path().filename().string(), 0, entry.file_size()});
  }
  ASSERT_GE(ranges.size(), size_t{kFiles});
  ranges.push_back({"/missing", 0, 4096});
  ranges.push_back({"/" + std::string(80'000, 'x'), 0, 4096});
  while (ranges.size() < 3000) ranges.push_back(ranges.front());  // more than one request has
  EXPECT_EQ(source_.reads(), 0U);
  mounter_->ReadInAdvance(tree_, ranges);
  EXPECT_TRUE(testing::Eventually([&] {
    return std::all_of(ranges.begin(), ranges.begin() + kFiles, [&](const FileRange& range) {
      return range.size_bytes == 0 || testing::IsCached(tree_ + range.path, range.size_bytes);
    });
  }));
  const uint64_t reads = source_.reads();
  EXPECT_GT(reads, 0U);
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  EXPECT_EQ(source_.reads(), reads) << "nothing was left to be read";
  mounter_->ReadInAdvance(directory_ / "nowhere", ranges);  // nobody minds
}

TEST_F(KernelTreeMounterTest, AttachTwiceMountsOnce) {
  ASSERT_OK(mounter_->Attach(Spec()));
  const auto after_one = testing::KernelObjects(directory_.path());
  ASSERT_OK(mounter_->Attach(Spec()));
  EXPECT_EQ(testing::KernelObjects(directory_.path()), after_one);
}

TEST_F(KernelTreeMounterTest, ASwitchedBlobIsReadFromItsCacheAndBack) {
  ASSERT_OK(mounter_->Attach(Spec()));
  EXPECT_EQ(ReadAhead(), "16\n");
  EXPECT_THAT(BlobDevices(), ElementsAre(kDirect));
  MakeCache();
  ASSERT_OK(mounter_->Switch(Blob(BlobFile::kCache)));
  EXPECT_THAT(BlobDevices(), ElementsAre(kDirect));
  ASSERT_OK(mounter_->SetLocal(tree_, true));
  EXPECT_EQ(ReadAhead(), "1024\n");
  ASSERT_OK_AND_ASSIGN(const BlobsInUse local, mounter_->FindBlobsInUse());
  EXPECT_EQ(local.on_cache, std::set<uint64_t>{kBlobId});
  EXPECT_TRUE(local.on_fuse.empty());
  const uint64_t reads = source_.reads();
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  EXPECT_EQ(source_.reads(), reads);
  EXPECT_OK(mounter_->Switch(Blob(BlobFile::kCache))) << "a second time";

  ASSERT_OK(mounter_->Switch(Blob(BlobFile::kFuse)));
  EXPECT_THAT(BlobDevices(), ElementsAre(kDirect));
  ASSERT_OK_AND_ASSIGN(const BlobsInUse back, mounter_->FindBlobsInUse());
  EXPECT_EQ(back.on_fuse, std::set<uint64_t>{kBlobId});
  EXPECT_TRUE(back.on_cache.empty());
  ASSERT_OK(mounter_->Detach(tree_));
  ASSERT_OK(mounter_->Attach(Spec()));
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  EXPECT_GT(source_.reads(), reads);
}

TEST_F(KernelTreeMounterTest, ATreeOnCachesNeedsNeitherServerNorKeeper) {
  MakeCache();
  TreeSpec spec = Spec();
  spec.blobs[0].file = BlobFile::kCache;
  ASSERT_OK(mounter_->Attach(spec));
  EXPECT_EQ(ReadAhead(), "1024\n");
  ASSERT_OK_AND_ASSIGN(const bool ended, mounter_->EndIfIdle());
  EXPECT_TRUE(ended);
  mounter_.reset();
  connection_.reset();
  keeper_.reset();
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  ASSERT_OK_AND_ASSIGN(keeper_, KeeperClient::Open({root_, run_dir_, KEEPER_PATH, 5}));
  Connect();
  ASSERT_OK(mounter_->Attach(spec)) << "it is mounted already";
  ASSERT_OK_AND_ASSIGN(const BlobsInUse local, mounter_->FindBlobsInUse());
  EXPECT_EQ(local.on_cache, std::set<uint64_t>{kBlobId});
}

TEST_F(KernelTreeMounterTest, ACacheThatCannotBeOpenedIsReplacedByFuseAndNotSwitchedTo) {
  TreeSpec spec = Spec();
  spec.blobs[0].file = BlobFile::kCache;
  ASSERT_OK(mounter_->Attach(spec));
  EXPECT_FALSE(mounter_->Switch(Blob(BlobFile::kCache)).ok());
  ASSERT_OK_AND_ASSIGN(const BlobsInUse blobs, mounter_->FindBlobsInUse());
  EXPECT_EQ(blobs.on_fuse, std::set<uint64_t>{kBlobId});
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
}

TEST_F(KernelTreeMounterTest, ACacheOfAnotherSizeIsNotSwitchedTo) {
  ASSERT_OK(mounter_->Attach(Spec()));
  testing::WriteWholeFile(caches_ + "/1.data", std::string(4096, 'x'));
  EXPECT_THAT(mounter_->Switch(Blob(BlobFile::kCache)), StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
}

TEST_F(KernelTreeMounterTest, ACacheWithoutDirectIoIsNotSwitchedTo) {
  ASSERT_OK(mounter_->Attach(Spec()));
  const testing::TestMount ramfs("ramfs", "none", caches_, {}, testing::Access::kWrite);
  MakeCache();
  EXPECT_THAT(mounter_->Switch(Blob(BlobFile::kCache)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "cannot be read directly"));
  EXPECT_THAT(BlobDevices(), ElementsAre(kDirect));
  ASSERT_OK_AND_ASSIGN(const BlobsInUse blobs, mounter_->FindBlobsInUse());
  EXPECT_EQ(blobs.on_fuse, std::set<uint64_t>{kBlobId});
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
}

TEST_F(KernelTreeMounterTest, DetachOfNothingIsOk) {
  EXPECT_OK(mounter_->Detach(tree_));
  EXPECT_OK(mounter_->Detach(directory_ / "never-there"));
}

TEST_F(KernelTreeMounterTest, UnknownBlobIsInternalAndLeavesNothing) {
  const auto before = testing::KernelObjects(directory_.path());
  TreeSpec spec = Spec();
  spec.blobs[0].id = 77;
  EXPECT_THAT(mounter_->Attach(spec), StatusIs(absl::StatusCode::kInternal, "/77"));
  EXPECT_TRUE(
      testing::Eventually([&] { return testing::KernelObjects(directory_.path()) == before; }));
}

TEST_F(KernelTreeMounterTest, DamagedMetadataIsInternalAndLeavesNothing) {
  const auto before = testing::KernelObjects(directory_.path());
  TreeSpec spec = Spec();
  spec.metadata_path = directory_ / "damaged";
  testing::WriteWholeFile(spec.metadata_path, std::string(65536, 'x'));
  EXPECT_THAT(mounter_->Attach(spec), StatusIs(absl::StatusCode::kInternal));
  EXPECT_TRUE(
      testing::Eventually([&] { return testing::KernelObjects(directory_.path()) == before; }));
}

TEST_F(KernelTreeMounterTest, OneBlobServesManyReadsAtOnce) {
  constexpr size_t kWanted = 32;
  ASSERT_OK(mounter_->Attach(Spec()));
  source_.SetMode(FakeBlobSource::Mode::kHold);
  std::string readers;
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = "/f" + std::to_string(i);
    readers += "cmp " + sample_.source + name + " " + tree_ + name + " & p=\"$p $!\"; ";
  }
  auto done = std::async(std::launch::async, [&] {
    return Shell(readers + "for i in $p; do wait $i || exit 1; done");
  });
  EXPECT_TRUE(source_.WaitUntilHeld(kWanted));
  source_.Release();
  EXPECT_EQ(done.get(), 0);
  EXPECT_GE(connection_->counters().max_in_flight, kWanted);
}

TEST_F(KernelTreeMounterTest, FailedAndShortReadsAreErrorsUntilTheSourceRecovers) {
  ASSERT_OK(mounter_->Attach(Spec()));
  for (const auto mode : {FakeBlobSource::Mode::kFail, FakeBlobSource::Mode::kShort}) {
    source_.SetMode(mode);
    EXPECT_NE(Shell("cat " + tree_ + "/f0 > /dev/null 2> " + (directory_ / "error")), 0);
    EXPECT_THAT(testing::ReadWholeFile(directory_ / "error"),
                ::testing::HasSubstr("Input/output error"));
  }
  EXPECT_GT(connection_->counters().errors, 0U);
  source_.SetMode(FakeBlobSource::Mode::kAnswer);
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
}

TEST_F(KernelTreeMounterTest, OverlayKeepsADetachedTreeReadable) {
  const std::string merged = directory_ / "merged";
  for (const char* name : {"merged", "upper", "work"}) {
    std::filesystem::create_directories(directory_ / name);
  }
  ASSERT_OK(mounter_->Attach(Spec()));
  ASSERT_EQ(Shell("mount -t overlay overlay -o lowerdir=" + tree_ + ",upperdir=" +
                  (directory_ / "upper") + ",workdir=" + (directory_ / "work") + " " + merged),
            0);
  ASSERT_OK(mounter_->Detach(tree_));
  ASSERT_OK_AND_ASSIGN(const BlobsInUse held, mounter_->FindBlobsInUse());
  EXPECT_EQ(held.on_fuse, std::set<uint64_t>{kBlobId});
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + merged), 0);
  ASSERT_OK_AND_ASSIGN(const bool ended, mounter_->EndIfIdle());
  EXPECT_FALSE(ended);
  EXPECT_EQ(Shell("umount " + merged), 0);
}

TEST_F(KernelTreeMounterTest, OtherMountNamespaceKeepsTheBlobsOfADetachedTree) {
  ASSERT_OK(mounter_->Attach(Spec()));
  testing::LineProcess other(
      {"/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/cat"});
  other.Say("there");  // answered once the namespace is made
  ASSERT_EQ(other.Line(), "there");
  ASSERT_OK(mounter_->Detach(tree_));
  ASSERT_OK_AND_ASSIGN(const BlobsInUse held, mounter_->FindBlobsInUse());
  EXPECT_EQ(held.on_fuse, std::set<uint64_t>{kBlobId});
  // The same image can be attached beside what the other still has.
  ASSERT_OK(mounter_->Attach(Spec()));
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  other.Kill();
}

TEST_F(KernelTreeMounterTest, CleanRestartTakesTheConnectionOver) {
  ASSERT_OK(mounter_->Attach(Spec()));
  const std::string before = connection_->directory();
  mounter_.reset();
  connection_.reset();
  keeper_.reset();
  ASSERT_OK_AND_ASSIGN(keeper_, KeeperClient::Open({root_, run_dir_, KEEPER_PATH, 5}));
  Connect();
  EXPECT_TRUE(connection_->adopted());
  EXPECT_EQ(connection_->directory(), before);
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
}

TEST_F(KernelTreeMounterTest, ReadUnderWayAtACleanStopIsAnsweredByTheSuccessor) {
  ASSERT_OK(mounter_->Attach(Spec()));
  source_.SetMode(FakeBlobSource::Mode::kCancel);
  const uint64_t before = source_.reads();
  auto done = std::async(std::launch::async,
                         [&] { return Shell("cmp " + sample_.source + "/f0 " + tree_ + "/f0"); });
  EXPECT_TRUE(testing::Eventually([&] { return source_.reads() > before; }));
  mounter_.reset();
  connection_.reset();
  keeper_.reset();
  source_.SetMode(FakeBlobSource::Mode::kAnswer);
  ASSERT_OK_AND_ASSIGN(keeper_, KeeperClient::Open({root_, run_dir_, KEEPER_PATH, 5}));
  Connect();
  EXPECT_EQ(done.get(), 0);
  EXPECT_GT(connection_->counters().resent, 0U);
}

TEST_F(KernelTreeMounterTest, AKeeperThatIsFullStopsNoStartWhereTheKernelResends) {
  if (!connection_->kernel_resends()) GTEST_SKIP() << "the requests are in what is not kept";
  ASSERT_OK(mounter_->Attach(Spec()));
  mounter_.reset();
  connection_.reset();
  ASSERT_OK_AND_ASSIGN(const auto names, keeper_->List());
  for (const std::string& name : names) {
    if (name.starts_with("slots")) {
      ASSERT_OK(keeper_->Drop(name));
    }
  }
  std::vector<std::string> others;
  absl::Status put;
  while ((put = keeper_->Put("other." + std::to_string(others.size()), 0)).ok()) {
    others.push_back("other." + std::to_string(others.size()));
  }
  EXPECT_THAT(put, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(others.empty());
  Connect();
  EXPECT_TRUE(connection_->adopted());
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
  for (const std::string& name : others) ASSERT_OK(keeper_->Drop(name));
}

// As on kernels before Linux 6.9: nothing can be written through this descriptor.
TEST_F(KernelTreeMounterTest, ConnectionWithoutResendingIsReplaced) {
  UniqueFd device(open("/dev/fuse", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(device.valid());
  const std::string directory = run_dir_ + "/fuse/1000";
  std::filesystem::create_directories(directory);
  ASSERT_OK(MountFuse(device.get(), "slacker", directory));
  mounter_.reset();
  connection_.reset();
  for (const char* name : {"fuse.1", "fuse.2"}) ASSERT_OK(keeper_->Drop(name));
  ASSERT_OK(keeper_->Put("fuse.1000", device.get()));
  device.Reset();
  Connect();
  EXPECT_FALSE(connection_->adopted());
  EXPECT_THAT(keeper_->Get("fuse.1000"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(directory));
  ASSERT_OK(mounter_->Attach(Spec()));
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
}

TEST_F(KernelTreeMounterTest, LostConnectionIsReplacedUnderMountedTrees) {
  const std::string merged = directory_ / "merged";
  for (const char* name : {"merged", "upper", "work"}) {
    std::filesystem::create_directories(directory_ / name);
  }
  ASSERT_OK(mounter_->Attach(Spec()));
  ASSERT_EQ(Shell("mount -t overlay overlay -o lowerdir=" + tree_ + ",upperdir=" +
                  (directory_ / "upper") + ",workdir=" + (directory_ / "work") + " " + merged),
            0);
  const std::string before = connection_->directory();
  mounter_.reset();
  connection_.reset();
  ASSERT_OK(keeper_->Bye());
  keeper_.reset();
  EXPECT_NE(Shell("cat " + merged + "/f0 > /dev/null"), 0);  // an error, and nobody hangs
  ASSERT_OK_AND_ASSIGN(keeper_, KeeperClient::Open({root_, run_dir_, KEEPER_PATH, 5}));
  Connect();
  EXPECT_FALSE(connection_->adopted());
  EXPECT_NE(connection_->directory(), before);
  EXPECT_EQ(Shell("diff -r " + sample_.source + " " + merged), 0);
  EXPECT_OK(mounter_->Attach(Spec()));
  EXPECT_FALSE(std::filesystem::exists(before));
  EXPECT_EQ(Shell("umount " + merged), 0);
}

}  // namespace
}  // namespace slacker
