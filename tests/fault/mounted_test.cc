// Snapshots that are mounted, as containerd and its shims mount them: several times at once,
// read-only, and while they are removed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/fault/remote_fixture.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"

namespace slacker::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class MountedTest : public RemoteFixture {
 protected:
  // As containerd does for a container.
  void MountOverlay(const api::Mount& mount) {
    ASSERT_EQ(mount.type(), "overlay");
    std::string data;
    for (const std::string& option : mount.options()) data += (data.empty() ? "" : ",") + option;
    MountAt(merged_, data, 0);
  }
  static void MountAt(const std::string& target, const std::string& data, unsigned long flags) {
    std::filesystem::create_directories(target);
    ASSERT_EQ(::mount("overlay", target.c_str(), "overlay", flags, data.c_str()), 0) << data;
  }
  static void Unmount(const std::string& target) { EXPECT_EQ(umount2(target.c_str(), 0), 0); }

  // An active snapshot "container" with something below it.
  static void PrepareContainer(Daemon& daemon) {
    ASSERT_TRUE(daemon.Prepare("making", "").ok());
    WriteWholeFile(daemon.mounts().front().source() + "/below", "from below");
    ASSERT_TRUE(daemon.Commit("base", "making").ok());
    ASSERT_TRUE(daemon.Prepare("container", "base").ok());
  }

  std::vector<std::string> SnapshotDirectories() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/snapshots")) {
      const std::string name = entry.path().filename();
      if (!name.starts_with(".new-")) names.push_back(name);  // else a spare
    }
    return names;
  }
  static std::string OptionOf(const api::Mount& mount, const std::string& name) {
    for (const std::string& option : mount.options()) {
      if (option.starts_with(name + "=")) return option.substr(name.size() + 1);
    }
    return "";
  }

  const std::string merged_ = dir_ / "merged";
};

// What containerd does for one start: a temporary mount to read /etc/passwd, for which it turns the
// upper directory into the topmost lower one, beside the shim's.
TEST_F(MountedTest, MountsServeSeveralUsersAtOnceAndAsReadOnlyOnes) {
  const auto daemon = Start();
  PrepareContainer(*daemon);
  const api::Mount mount = daemon->mounts().front();
  MountOverlay(mount);
  WriteWholeFile(merged_ + "/own", "of the container");
  const std::string read_only = dir_ / "read-only";
  const std::string lowers = OptionOf(mount, "upperdir") + ":" + OptionOf(mount, "lowerdir");
  for (int i = 0; i < 3; ++i) {
    MountAt(read_only, "lowerdir=" + lowers, MS_RDONLY);
    EXPECT_EQ(ReadWholeFile(read_only + "/own"), "of the container");
    EXPECT_EQ(ReadWholeFile(read_only + "/below"), "from below");
    Unmount(read_only);
  }
  EXPECT_EQ(ReadWholeFile(merged_ + "/below"), "from below");
  Unmount(merged_);
  MountOverlay(mount);  // a restart of the container
  EXPECT_EQ(ReadWholeFile(merged_ + "/own"), "of the container");
  Unmount(merged_);
}

TEST_F(MountedTest, AMountedOverlayIsRemovedAndItsOpenFilesStay) {
  const auto daemon = Start();
  PrepareContainer(*daemon);
  MountOverlay(daemon->mounts().front());
  WriteWholeFile(merged_ + "/file", "content");
  UniqueFd file(open((merged_ + "/file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid());

  EXPECT_TRUE(daemon->Remove("container").ok());
  const grpc::Status cleaned = daemon->Cleanup();
  EXPECT_TRUE(cleaned.ok()) << cleaned.error_message();
  char text[8] = {};
  EXPECT_EQ(pread(file.get(), text, sizeof text, 0), 7);
  EXPECT_STREQ(text, "content");
  EXPECT_TRUE(daemon->Prepare("container", "base").ok()) << "the key is free";
  EXPECT_THAT(SnapshotDirectories(), SizeIs(2));
  file = UniqueFd();
  Unmount(merged_);
}

TEST_F(MountedTest, AnUndeletableDirectoryIsRemovedAndDeletedOnceItCanBe) {
  const auto daemon = Start();
  ASSERT_TRUE(daemon->Prepare("busy", "").ok());
  const std::string below = daemon->mounts().front().source() + "/below";
  const std::string elsewhere = dir_ / "elsewhere";
  std::filesystem::create_directories(below);
  std::filesystem::create_directories(elsewhere);
  WriteWholeFile(elsewhere + "/precious", "content");
  ASSERT_EQ(mount(elsewhere.c_str(), below.c_str(), nullptr, MS_BIND, nullptr), 0);

  EXPECT_TRUE(daemon->Remove("busy").ok());
  EXPECT_TRUE(daemon->Prepare("busy", "").ok()) << "the key is free";
  EXPECT_TRUE(daemon->Remove("busy").ok());
  EXPECT_EQ(daemon->Cleanup().error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(ReadWholeFile(elsewhere + "/precious"), "content");
  EXPECT_THAT(SnapshotDirectories(), SizeIs(1));

  ASSERT_EQ(umount2(below.c_str(), 0), 0);
  EXPECT_TRUE(daemon->Cleanup().ok());
  EXPECT_THAT(SnapshotDirectories(), IsEmpty());
  EXPECT_EQ(ReadWholeFile(elsewhere + "/precious"), "content");
}

TEST_F(MountedTest, AnAttachedImageUnderAContainerIsRemovedAndReadOn) {
  const auto daemon = Start();
  const std::string top = Pull(*daemon, "extract ");
  ASSERT_TRUE(daemon->Prepare("container", top).ok());
  MountOverlay(daemon->mounts().front());
  UniqueFd file(open((merged_ + "/dir/plain").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid());

  const grpc::Status removed = RemoveAll(*daemon);
  EXPECT_TRUE(removed.ok()) << removed.error_message();
  EXPECT_THAT(daemon->List(), IsEmpty());
  EXPECT_THAT(SnapshotDirectories(), IsEmpty());
  // Nothing of it has been read before.
  char text[64] = {};
  EXPECT_GT(pread(file.get(), text, sizeof text, 0), 0);
  EXPECT_STREQ(text, "hello, seed 2");

  file.Reset();
  Unmount(merged_);
  // Loop devices clear themselves in the kernel's own time.
  EXPECT_TRUE(Eventually(
      [&] { return daemon->Cleanup().ok() && std::filesystem::is_empty(root_ + "/blobs"); }));
  ExpectNothingLeft();
}

// From 2.0 on containerd gives a container with a user namespace of its own everything that lies beside
// its lower directories with other owners: what is mounted there must bear that.
TEST_F(MountedTest, WhatLiesBesideLowerDirectoriesCanBeIdMapped) {
  constexpr uid_t kOwner = 100'000;
  LineProcess holder({"/usr/bin/unshare", "--user", "cat"});
  holder.Say("in a user namespace");
  ASSERT_EQ(holder.Line(), "in a user namespace");
  const std::string process = "/proc/" + std::to_string(holder.pid());
  for (const char* map : {"/uid_map", "/gid_map"}) {
    WriteWholeFile(process + map, "0 " + std::to_string(kOwner) + " 65536\n");
  }
  const UniqueFd owners(open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(owners.valid());
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(owners.get());
  const auto id_mapped = [&attributes](const std::string& path, unsigned recursive) {
    UniqueFd tree(
        open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
    const int failed =
        mount_setattr(tree.get(), "", AT_EMPTY_PATH | recursive, &attributes, sizeof attributes);
    return failed == 0 ? std::move(tree) : UniqueFd();
  };
  if (!id_mapped(dir_.path(), 0).valid()) {
    GTEST_SKIP() << "the file system of TMPDIR does not know other owners: " << strerror(errno);
  }

  const auto daemon = Start();
  const std::string top = Pull(*daemon, "extract ");
  ASSERT_TRUE(daemon->Prepare("container", top).ok());
  const std::string tree = OptionOf(daemon->mounts().front(), "lowerdir");
  const std::string place = root_ + "/snapshots";
  EXPECT_EQ(tree.find(place + "/"), 0U) << tree;
  {
    const UniqueFd mapped = id_mapped(place, AT_RECURSIVE);
    EXPECT_TRUE(mapped.valid()) << strerror(errno);
    const std::string path = tree.substr(place.size() + 1) + "/dir/plain";
    const UniqueFd file(openat(mapped.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(file.valid()) << path;
    struct stat info {};
    EXPECT_EQ(fstat(file.get(), &info), 0);
    EXPECT_EQ(info.st_uid, kOwner);
    char text[64] = {};
    EXPECT_GT(pread(file.get(), text, sizeof text, 0), 0);
    EXPECT_STREQ(text, "hello, seed 2");
  }
  EXPECT_TRUE(RemoveAll(*daemon).ok());
  EXPECT_TRUE(Eventually(
      [&] { return daemon->Cleanup().ok() && std::filesystem::is_empty(root_ + "/blobs"); }));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace slacker::testing
