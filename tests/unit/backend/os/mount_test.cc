#include "backend/os/mount.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

TEST(ParseMountInfoTest, FieldsAreTakenFromTheirPlaces) {
  ASSERT_OK_AND_ASSIGN(
      const auto mounts,
      ParseMountInfo("36 35 98:0 /sub /mnt/two rw,noatime master:1 shared:2 - ext3 /dev/root rw\n"
                     "42 27 0:39 / /run/x\\040y\\134z ro - fuse slacker ro,user_id=0\n"));
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].major, 98U);
  EXPECT_EQ(mounts[0].mount_point, "/mnt/two");
  EXPECT_EQ(mounts[0].fs_type, "ext3");
  EXPECT_EQ(mounts[0].source, "/dev/root");
  EXPECT_EQ(mounts[1].minor, 39U);
  EXPECT_EQ(mounts[1].mount_point, "/run/x y\\z");
}

class BadMountInfoTest : public ::testing::TestWithParam<const char*> {};
TEST_P(BadMountInfoTest, IsInternal) {
  EXPECT_THAT(ParseMountInfo(GetParam()), StatusIs(absl::StatusCode::kInternal));
}
INSTANTIATE_TEST_SUITE_P(Lines, BadMountInfoTest,
                         ::testing::Values("x", "36 35 98:0 / /mnt rw - ext3",
                                           "36 35 98 / /mnt rw - ext3 x rw",
                                           "36 35 a:b / /mnt rw - ext3 x rw",
                                           "36 35 98:0 / - ext3 x rw"));

TEST(ListMountsTest, TheRootIsMounted) {
  ASSERT_OK_AND_ASSIGN(const auto mounts, ListMounts());
  bool found = false;
  for (const MountEntry& mount : mounts) found = found || mount.mount_point == "/";
  EXPECT_TRUE(found);
}

TEST(UnmountAllTest, NothingMountedIsOk) {
  EXPECT_OK(UnmountAll("/nonexistent/path"));
  EXPECT_OK(UnmountAll("/usr/share"));
}

}  // namespace
}  // namespace slacker
