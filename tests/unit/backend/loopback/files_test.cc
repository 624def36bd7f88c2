#include "backend/loopback/files.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/loop_mount.h"
#include "tests/support/temp_dir.h"

namespace slacker::loopback {
namespace {

struct TypeCase {
  const char* name;
  uint32_t type;  // as statfs(2) and the file systems' sources have it
  bool of_this_machine;
};

class FileSystemTypeTest : public ::testing::TestWithParam<TypeCase> {};

TEST_P(FileSystemTypeTest, IsOfThisMachineOnlyWhereThatIsKnown) {
  EXPECT_EQ(IsOfThisMachine(GetParam().type), GetParam().of_this_machine);
}

INSTANTIATE_TEST_SUITE_P(
    All, FileSystemTypeTest,
    ::testing::Values(TypeCase{"Ext4", 0xef53, true}, TypeCase{"Xfs", 0x58465342, true},
                      TypeCase{"Btrfs", 0x9123683e, true}, TypeCase{"F2fs", 0xf2f52010, true},
                      TypeCase{"Tmpfs", 0x01021994, true}, TypeCase{"Ramfs", 0x858458f6, true},
                      TypeCase{"Overlay", 0x794c7630, true}, TypeCase{"Erofs", 0xe0f5e1e2, true},
                      TypeCase{"Squashfs", 0x73717368, true}, TypeCase{"Iso9660", 0x9660, true},
                      TypeCase{"Vfat", 0x4d44, true}, TypeCase{"Zfs", 0x2fc12fc1, true},
                      TypeCase{"Bcachefs", 0xca451a4e, true}, TypeCase{"Nfs", 0x6969, false},
                      TypeCase{"Cifs", 0xff534d42, false}, TypeCase{"Smb2", 0xfe534d42, false},
                      TypeCase{"Fuse", 0x65735546, false}, TypeCase{"Ceph", 0x00c36400, false},
                      TypeCase{"Plan9", 0x01021997, false}, TypeCase{"Afs", 0x5346414f, false},
                      TypeCase{"Gfs2", 0x01161970, false}, TypeCase{"Ocfs2", 0x7461636f, false},
                      TypeCase{"Lustre", 0x0bd00bd0, false}, TypeCase{"Proc", 0x9fa0, false},
                      TypeCase{"None", 0, false}),
    [](const auto& test) { return std::string(test.param.name); });

class IsOnNetworkTest : public ::testing::Test {
 protected:
  const testing::TempDir dir_;
};

TEST_F(IsOnNetworkTest, MemoryIsOfThisMachine) {
  const std::string target = dir_ / "memory";
  std::filesystem::create_directory(target);
  const testing::TestMount mount("tmpfs", "tmpfs", target, {}, testing::Access::kWrite);
  ASSERT_TRUE(mount.mounted());
  EXPECT_FALSE(IsOnNetwork(target));
}

TEST_F(IsOnNetworkTest, Ext4IsOfThisMachine) {
  const std::string image = dir_ / "image", target = dir_ / "disk";
  std::filesystem::create_directory(target);
  std::ofstream(image).close();
  std::filesystem::resize_file(image, 4 << 20);
  ASSERT_EQ(std::system(("mkfs.ext4 -q -b 4096 -F " + image).c_str()), 0);
  const testing::TestLoop loop(image);
  const testing::TestMount mount("ext4", loop.path(), target, {});
  ASSERT_TRUE(mount.mounted());
  EXPECT_FALSE(IsOnNetwork(target));
}

// Of a type that nothing is known about.
TEST_F(IsOnNetworkTest, AnythingElseMayBeOfOthersToo) { EXPECT_TRUE(IsOnNetwork("/proc")); }

TEST_F(IsOnNetworkTest, WhatIsMissingIsWhereItsNearestParentIs) {
  EXPECT_EQ(IsOnNetwork(dir_ / "a/b/c"), IsOnNetwork(dir_.path()));
  EXPECT_TRUE(IsOnNetwork("/proc/sys/none/store"));
  std::ofstream(dir_ / "file") << "x";
  EXPECT_EQ(IsOnNetwork(dir_ / "file/store"), IsOnNetwork(dir_.path()));
}

}  // namespace
}  // namespace slacker::loopback
