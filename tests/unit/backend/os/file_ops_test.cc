// The real FileOps on a real file system.
#include "backend/os/file_ops.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backend/base/unique_fd.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class FileOpsTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, size_t bytes) {
    std::ofstream(path) << std::string(bytes, 'x');
  }
  struct stat Lstat(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(lstat(path.c_str(), &st), 0) << path;
    return st;
  }
  FileOps& ops_ = SystemFileOps();
  TempDir dir_;
};

TEST_F(FileOpsTest, MakeDirectorySetsModeAndOwnerWhateverTheUmask) {
  const mode_t before = umask(0077);
  EXPECT_OK(ops_.MakeDirectory(dir_ / "d", 02775, 12, 34));
  umask(before);
  const struct stat st = Lstat(dir_ / "d");
  EXPECT_EQ(st.st_mode & 07777U, 02775U);
  EXPECT_EQ(st.st_uid, 12U);
  EXPECT_EQ(st.st_gid, 34U);
  ASSERT_OK_AND_ASSIGN(const auto owner, ops_.Stat(dir_ / "d"));
  EXPECT_EQ(owner.mode, 02775U);
  EXPECT_EQ(owner.uid, 12U);
}

TEST_F(FileOpsTest, TakenNamesAreAPreconditionAndMissingParentsInternal) {
  ASSERT_OK(ops_.MakeDirectory(dir_ / "d", 0755, 0, 0));
  EXPECT_THAT(ops_.MakeDirectory(dir_ / "d", 0755, 0, 0),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ops_.MakeDirectory(dir_ / "no/d", 0755, 0, 0), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(FileOpsTest, RenameNeverReplaces) {
  ASSERT_OK(ops_.MakeDirectory(dir_ / "a", 0755, 0, 0));
  ASSERT_OK(ops_.MakeDirectory(dir_ / "b", 0755, 0, 0));
  EXPECT_THAT(ops_.RenameDurably(dir_ / "a", dir_ / "b"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(ops_.RenameDurably(dir_ / "a", dir_ / "b/c"));
  EXPECT_THAT(*ops_.List(dir_ / "b"), UnorderedElementsAre("c"));
  EXPECT_THAT(ops_.RenameDurably(dir_ / "a", dir_ / "d"), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(FileOpsTest, ListOfAMissingDirectoryIsEmpty) {
  EXPECT_THAT(*ops_.List(dir_ / "none"), IsEmpty());
  Write(dir_ / "file", 1);
  EXPECT_THAT(ops_.List(dir_ / "file"), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(FileOpsTest, RemoveTreeTakesEverythingAndFollowsNoLink) {
  const std::string tree = dir_ / "tree";
  std::filesystem::create_directories(tree + "/a/b/c");
  std::filesystem::create_directories(dir_ / "outside");
  Write(dir_ / "outside/kept", 1);
  Write(tree + "/a/file", 1);
  std::filesystem::create_directory_symlink(dir_ / "outside", tree + "/a/link");
  ASSERT_EQ(mknod((tree + "/whiteout").c_str(), S_IFCHR, 0), 0);
  ASSERT_EQ(mkfifo((tree + "/fifo").c_str(), 0), 0);
  ASSERT_EQ(chmod((tree + "/a/b").c_str(), 0), 0);
  ASSERT_OK(ops_.RemoveTree(tree));
  EXPECT_FALSE(std::filesystem::exists(tree));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "outside/kept"));
  ASSERT_OK(ops_.RemoveTree(tree));
}

TEST_F(FileOpsTest, RemoveTreeOfALinkRemovesTheLink) {
  std::filesystem::create_directories(dir_ / "target");
  std::filesystem::create_directory_symlink(dir_ / "target", dir_ / "link");
  ASSERT_OK(ops_.RemoveTree(dir_ / "link"));
  EXPECT_THAT(*ops_.List(dir_.path()), UnorderedElementsAre("target"));
}

// Deeper than a path may be long, and than a process may have descriptors by default.
TEST_F(FileOpsTest, DepthDoesNotMatter) {
  constexpr int kDepth = 1200;
  const std::string name(100, 'd');
  ASSERT_OK(ops_.MakeDirectory(dir_ / "tree", 0755, 0, 0));
  UniqueFd current(open((dir_ / "tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(current.get(), name.c_str(), 0755), 0);
    current.Reset(openat(current.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(current.valid());
  }
  current.Reset();
  ASSERT_OK_AND_ASSIGN(const DiskUsage usage, ops_.Usage(dir_ / "tree"));
  EXPECT_EQ(usage.inodes, kDepth + 1);
  ASSERT_OK(ops_.RemoveTree(dir_ / "tree"));
}

TEST_F(FileOpsTest, UsageCountsEachInodeOnceAndFollowsNoLink) {
  const std::string tree = dir_ / "tree";
  std::filesystem::create_directories(tree + "/sub");
  Write(dir_ / "outside", 1 << 20);
  Write(tree + "/file", 10'000);
  std::filesystem::create_hard_link(tree + "/file", tree + "/sub/again");
  std::filesystem::create_symlink(dir_ / "outside", tree + "/link");
  int64_t blocks = 0;
  for (const char* name : {"", "/sub", "/file", "/link"}) blocks += Lstat(tree + name).st_blocks;
  ASSERT_OK_AND_ASSIGN(const DiskUsage usage, ops_.Usage(tree));
  EXPECT_EQ(usage.inodes, 4);
  EXPECT_EQ(usage.size_bytes, blocks * 512);
}

TEST_F(FileOpsTest, UsageOfAMissingTreeIsAnErrorWithItsErrno) {
  const auto usage = ops_.Usage(dir_ / "none");
  EXPECT_THAT(usage, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(ErrnoOf(usage.status()), ENOENT);
}

class MountPointTest : public FileOpsTest {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_ / "tree/mnt");
    std::filesystem::create_directories(dir_ / "source");
    Write(dir_ / "source/kept", 1);
    // A bind mount of the same file system: the device alone does not tell it.
    ASSERT_EQ(
        mount((dir_ / "source").c_str(), (dir_ / "tree/mnt").c_str(), nullptr, MS_BIND, nullptr),
        0);
  }
  void TearDown() override { EXPECT_EQ(umount2((dir_ / "tree/mnt").c_str(), MNT_DETACH), 0); }
};

TEST_F(MountPointTest, RemoveTreeStopsAtAMountPoint) {
  EXPECT_THAT(ops_.RemoveTree(dir_ / "tree"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "source/kept"));
}

TEST_F(MountPointTest, UsageDoesNotCrossAMountPoint) {
  ASSERT_OK_AND_ASSIGN(const DiskUsage usage, ops_.Usage(dir_ / "tree"));
  EXPECT_EQ(usage.inodes, 1);
}

TEST_F(FileOpsTest, SyncOfWhatIsThereIsOk) {
  Write(dir_ / "file", 1);
  EXPECT_OK(ops_.Sync(dir_ / "file"));
  EXPECT_OK(ops_.Sync(dir_.path()));
  EXPECT_THAT(ops_.Sync(dir_ / "none"), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(FileOpsTest, UsageNeverFailsWhileDirectoriesAreMovedAndDeleted) {
  const std::string top = dir_ / "top";
  for (const char* name : {"/a/deep/er", "/b", "/c/gone"}) {
    std::filesystem::create_directories(top + name);
  }
  std::atomic<bool> done{false};
  std::thread mover([&] {
    while (!done) {
      std::filesystem::rename(top + "/a/deep", top + "/b/deep");
      std::filesystem::rename(top + "/b/deep", top + "/a/deep");
      std::filesystem::remove_all(top + "/c/gone");
      std::filesystem::create_directories(top + "/c/gone/deeper");
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto usage = ops_.Usage(top);
    EXPECT_OK(usage);
    EXPECT_GE(usage.value_or(DiskUsage{}).inodes, 1);
  }
  done = true;
  mover.join();
}

}  // namespace
}  // namespace slacker::testing
