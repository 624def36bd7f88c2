#include "tests/support/loop_mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "tests/support/eventually.h"
#include "tests/support/mount_namespace.h"

namespace slacker::testing {
namespace {

constexpr uint32_t kLoopBlockSize = 4096;

int FsConfig(int fd, unsigned command, const char* key, const char* value) {
  return static_cast<int>(syscall(SYS_fsconfig, fd, command, key, value, 0));
}

// "lowerdir=/a" is a key with a value, "ro" a flag.
int SetOption(int fd, const std::string& option) {
  const size_t equals = option.find('=');
  if (equals == std::string::npos) {
    return FsConfig(fd, FSCONFIG_SET_FLAG, option.c_str(), nullptr);
  }
  return FsConfig(fd, FSCONFIG_SET_STRING, option.substr(0, equals).c_str(),
                  option.substr(equals + 1).c_str());
}

}  // namespace

TestLoop::TestLoop(const std::string& file, Access access) { Attach(file, access); }

void TestLoop::Attach(const std::string& file, Access access) {
  const bool writable = access == Access::kWrite;
  const UniqueFd backing(open(file.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  EXPECT_TRUE(backing.valid()) << file << ": " << strerror(errno);
  const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(control.valid()) << strerror(errno);
  loop_config config{};
  config.fd = static_cast<uint32_t>(backing.get());
  config.block_size = kLoopBlockSize;
  config.info.lo_flags = (writable ? 0 : LO_FLAGS_READ_ONLY) | LO_FLAGS_AUTOCLEAR;
  // Another process may take the free device first.
  for (int attempt = 0; attempt < 1000 && !fd_.valid(); ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    ASSERT_GE(number, 0) << strerror(errno);
    path_ = "/dev/loop" + std::to_string(number);
    UniqueFd device(open(path_.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
    if (!device.valid()) continue;
    if (ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) {
      fd_ = std::move(device);
    } else {
      ASSERT_EQ(errno, EBUSY) << path_ << ": " << strerror(errno);
    }
  }
  EXPECT_TRUE(fd_.valid()) << "no free loop device";
}

TestMount::TestMount(const std::string& type, const std::string& source, const std::string& target,
                     const std::vector<std::string>& options, Access access)
    : target_(target) {
  Mount(type, source, options, access);
}

void TestMount::Mount(const std::string& type, const std::string& source,
                      const std::vector<std::string>& options, Access access) {
  EnterOwnMountNamespace();
  const UniqueFd fs(static_cast<int>(syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC)));
  ASSERT_TRUE(fs.valid()) << type << ": " << strerror(errno);
  ASSERT_EQ(FsConfig(fs.get(), FSCONFIG_SET_STRING, "source", source.c_str()), 0)
      << strerror(errno);
  // EROFS wants it of the superblock, not only of the mount, when its device is read-only.
  const bool read_only = access == Access::kRead;
  ASSERT_EQ(read_only ? SetOption(fs.get(), "ro") : 0, 0) << strerror(errno);
  for (const std::string& option : options) {
    ASSERT_EQ(SetOption(fs.get(), option), 0) << option << ": " << strerror(errno);
  }
  ASSERT_EQ(FsConfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr), 0)
      << "mounting " << type << " " << source << ": " << strerror(errno);
  const UniqueFd mount(static_cast<int>(
      syscall(SYS_fsmount, fs.get(), FSMOUNT_CLOEXEC, read_only ? MOUNT_ATTR_RDONLY : 0)));
  ASSERT_TRUE(mount.valid()) << strerror(errno);
  ASSERT_EQ(
      syscall(SYS_move_mount, mount.get(), "", AT_FDCWD, target_.c_str(), MOVE_MOUNT_F_EMPTY_PATH),
      0)
      << target_ << ": " << strerror(errno);
  mounted_ = true;
}

TestMount::~TestMount() {
  if (!mounted_) return;
  // A loop device over one of its files lets go of it in the kernel's own time.
  int error = 0;
  EXPECT_TRUE(Eventually([&] {
    error = syscall(SYS_umount2, target_.c_str(), 0) == 0 ? 0 : errno;
    return error != EBUSY;
  })) << target_ << " is in use";
  EXPECT_EQ(error, 0) << target_ << ": " << strerror(error);
}

}  // namespace slacker::testing
