// The udev rules that are shipped, run by udev's own program on real loop devices, beside the rules that the
// machine has: what is slackerd's is neither read nor named, what is not is.
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "backend/os/loop_device.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class UdevRulesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v udevadm > /dev/null") != 0) GTEST_SKIP() << "no udevadm";
    ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, ""), 0);
    std::filesystem::create_directories("/run/udev/rules.d");
    std::filesystem::copy(SLACKER_SOURCE_DIR "/deploy/udev/59-slacker.rules", "/run/udev/rules.d/");
  }

  // A device on a file of that name, with something on it that udev knows.
  LoopDevice Device(const std::string& path) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    const std::string make = "truncate -s 1M " + path + " && mke2fs -q -F " + path;
    EXPECT_EQ(std::system(make.c_str()), 0);
    auto device = LoopDevice::Attach(path, LoopDevice::DirectIo::kPreferred);
    EXPECT_OK(device);
    return *std::move(device);
  }

  // How many reads the device has served since it was first there.
  static uint64_t Reads(const LoopDevice& device) {
    std::istringstream statistics(
        ReadWholeFile("/sys/block/loop" + std::to_string(device.number()) + "/stat"));
    uint64_t reads = 0;
    statistics >> reads;
    return reads;
  }

  // What udev makes of the device, in its own words. Its links are made in a /dev of its own.
  std::string Udev(const LoopDevice& device) {
    const std::string number = std::to_string(device.number());
    const std::string command =
        "unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && "
        "mknod /dev/loop" +
        number + " b 7 " + number +
        " && "
        "udevadm test --action=change /sys/block/loop" +
        number + "' > " + output_ + " 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return ReadWholeFile(output_);
  }

  const TempDir dir_;
  const KernelLeakCheck leaks_{dir_.path()};
  const std::string output_ = dir_ / "output";
};

TEST_F(UdevRulesTest, DevicesOfSlackerdAreNeitherReadNorNamed) {
  const std::string root = "/var/lib/containerd/io.containerd.snapshotter.v1.slacker";
  ASSERT_EQ(mount("tmpfs", "/var/lib", "tmpfs", 0, ""), 0);
  for (const std::string& path :
       {std::string("/run/slacker/0123456789abcdef/fuse/1/7"), root + "/blobs/7.data",
        root + "/images/3.erofs", std::string("/var/lib/slacker/mounts/0123/blobs/7.data")}) {
    SCOPED_TRACE(path);
    const LoopDevice device = Device(path);
    const uint64_t before = Reads(device);
    const std::string output = Udev(device);
    EXPECT_EQ(Reads(device), before);
    EXPECT_THAT(output, HasSubstr("\nSYSTEMD_READY=0\n"));
    EXPECT_THAT(output, HasSubstr("\nUDISKS_IGNORE=1\n"));
    EXPECT_THAT(output, Not(HasSubstr("ID_FS_TYPE")));
    EXPECT_THAT(output, Not(HasSubstr("DEVLINKS")));
    EXPECT_THAT(output, Not(HasSubstr("59-slacker.rules:"))) << "a complaint about the rules";
  }
}

TEST_F(UdevRulesTest, DevicesOfOthersAreStillReadAndNamed) {
  const LoopDevice device = Device("/run/others/slacker/image");
  const uint64_t before = Reads(device);
  const std::string output = Udev(device);
  EXPECT_GT(Reads(device), before);
  EXPECT_THAT(output, HasSubstr("\nID_FS_TYPE=ext2\n"));
  EXPECT_THAT(output, HasSubstr("DEVLINKS"));
  EXPECT_THAT(output, Not(HasSubstr("SYSTEMD_READY")));
  EXPECT_THAT(output, Not(HasSubstr("UDISKS_IGNORE")));
}

}  // namespace
}  // namespace slacker::testing
