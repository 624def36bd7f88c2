#include "cmd/slackerd/root_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

namespace fs = std::filesystem;

using testing::StatusIs;
using testing::TempDir;

constexpr absl::StatusCode kRefused = absl::StatusCode::kFailedPrecondition;

class RootDirectoryTest : public ::testing::Test {
 protected:
  // A file with its parents.
  void Write(const std::string& name, const std::string& content = "content") {
    fs::create_directories(fs::path(dir_ / name).parent_path());
    std::ofstream(dir_ / name) << content;
  }
  void ExpectRefusedForStore(const std::string& root, const std::string& store) {
    EXPECT_THAT(PrepareRoot(dir_ / root, {"memory:", "loopback:" + (dir_ / store)}),
                StatusIs(kRefused, store))
        << root << " " << store;
  }
  void ExpectFineForStore(const std::string& root, const std::string& store) {
    EXPECT_OK(PrepareRoot(dir_ / root, {"loopback:" + (dir_ / store)})) << root << " " << store;
  }

  const TempDir dir_;
};

TEST_F(RootDirectoryTest, AMissingOneIsMadeForItsOwnerAlone) {
  ASSERT_OK(PrepareRoot(dir_ / "a/root/", {}));
  struct stat info {};
  ASSERT_EQ(stat((dir_ / "a/root").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  EXPECT_OK(PrepareRoot(dir_ / "a/root", {})) << "empty";
}

TEST_F(RootDirectoryTest, TheRootOfTheMachineIsRefused) {
  fs::create_directory_symlink("/", dir_ / "link");
  for (const std::string& root : {std::string("/"), std::string("//"), std::string("/."),
                                  std::string("/tmp/.."), dir_ / "link"}) {
    EXPECT_THAT(PrepareRoot(root, {}), StatusIs(kRefused, "must not be /")) << root;
  }
}

TEST_F(RootDirectoryTest, ADirectoryOfOthersIsRefusedAndLeftAlone) {
  Write("photos/images/photo.jpg");
  EXPECT_THAT(PrepareRoot(dir_ / "photos", {}), StatusIs(kRefused, "holds other files (images)"));
  EXPECT_TRUE(fs::exists(dir_ / "photos/images/photo.jpg"));
  Write("locked/lock", "a lock of somebody else");
  EXPECT_THAT(PrepareRoot(dir_ / "locked", {}), StatusIs(kRefused, "(lock)"));
  fs::create_directories(dir_ / "named/other");
  EXPECT_THAT(PrepareRoot(dir_ / "named", {}), StatusIs(kRefused, "(other)"));
  Write("file");
  EXPECT_THAT(PrepareRoot(dir_ / "file", {}), StatusIs(absl::StatusCode::kInternal, "file"));
}

TEST_F(RootDirectoryTest, OneWithADatabaseIsOurs) {
  Write("root/slacker.db");
  Write("root/blobs/1.data");
  Write("root/notes of the administrator");
  EXPECT_OK(PrepareRoot(dir_ / "root", {}));
}

TEST_F(RootDirectoryTest, WhatAFirstStartThatWasCutShortLeavesStartsAgain) {
  Write("root/lock", "");
  fs::create_directories(dir_ / "root/records");
  fs::create_directories(dir_ / "root/snapshots");
  EXPECT_OK(PrepareRoot(dir_ / "root", {}));
  fs::create_directories(dir_ / "other disk/lost+found");
  fs::create_directories(dir_ / "root/lost+found/of a check");
  fs::create_directory_symlink(dir_ / "other disk", dir_ / "root/blobs");
  EXPECT_OK(PrepareRoot(dir_ / "root", {})) << "on file systems of their own";
}

TEST_F(RootDirectoryTest, NeitherStoreNorRootLiesWithinTheOther) {
  Write("root/slacker.db");
  fs::create_directories(dir_ / "a/b");
  fs::create_directory_symlink("../root", dir_ / "a/link");
  fs::create_directory_symlink(dir_ / "a", dir_ / "far");
  for (const std::string store : {"root", "root/", "./root", "root/images", "", "a/link",
                                  "a/link/x", "far/link/x", "a/b/../link", "far/b/../../root"}) {
    ExpectRefusedForStore("root", store);
  }
  ExpectRefusedForStore("a/link", "root");
  for (const std::string store : {"root2", "roo", "a", "a/b", "far/b", "missing/x"}) {
    ExpectFineForStore("root", store);
  }
  ExpectRefusedForStore("new", "new");
  EXPECT_FALSE(fs::exists(dir_ / "new"));
  EXPECT_OK(PrepareRoot(dir_ / "root", {"nfs://host" + (dir_ / "root"), ""}));
}

}  // namespace
}  // namespace slacker
