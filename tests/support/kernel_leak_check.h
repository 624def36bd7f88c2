// Fails the test when processes, loop devices, mounts or descriptors that belong to it are left at
// its end, and ends and unmounts them.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "backend/os/loop_device.h"
#include "backend/os/mount.h"
#include "tests/support/eventually.h"
#include "tests/support/mount_namespace.h"
#include "tests/support/processes.h"

namespace slacker::testing {

// Loop devices and mounts on and of what is below `directory`.
inline std::vector<std::string> KernelObjects(const std::string& directory) {
  std::vector<std::string> found;
  if (const auto loops = ListLoopDevices(); loops.ok()) {
    for (const LoopBacking& loop : *loops) {
      if (loop.backing_path.starts_with(directory)) {
        found.push_back("loop" + std::to_string(loop.number) + " on " + loop.backing_path);
      }
    }
  }
  if (const auto mounts = ListMounts(); mounts.ok()) {
    for (const MountEntry& mount : *mounts) {
      if (mount.mount_point.starts_with(directory)) found.push_back("mount " + mount.mount_point);
    }
  }
  return found;
}

// These, and processes that were started for something below `directory`.
inline std::vector<std::string> Leftovers(const std::string& directory) {
  std::vector<std::string> found = KernelObjects(directory);
  for (const pid_t pid : ProcessesBelow(directory)) {
    found.push_back("process " + ReadWholeFile("/proc/" + std::to_string(pid) + "/cmdline"));
  }
  return found;
}

// Ends those processes and takes those mounts away; loop devices follow.
inline void EndLeftovers(const std::string& directory) {
  for (const pid_t pid : ProcessesBelow(directory)) (void)kill(pid, SIGKILL);
  const auto mounts = ListMounts();
  if (!mounts.ok()) return;
  for (const MountEntry& mount : *mounts) {
    if (mount.mount_point.starts_with(directory)) {
      (void)umount2(mount.mount_point.c_str(), MNT_DETACH);
    }
  }
}

// What this process has open: number and what it is of, without the look itself.
inline std::map<std::string, std::string> OpenDescriptors() {
  std::map<std::string, std::string> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    if (!gone && !target.string().ends_with("/fd")) open[entry.path().filename()] = target;
  }
  return open;
}

// Loop devices on files below a directory, which may have been removed.
inline size_t LoopsBelow(const std::string& directory) {
  size_t count = 0;
  const auto loops = ListLoopDevices();
  EXPECT_TRUE(loops.ok()) << loops.status();
  for (const LoopBacking& loop : *loops) {
    count += loop.backing_path.starts_with(directory + "/") ? 1 : 0;
  }
  return count;
}

// Declare after the TempDir and before everything else.
class KernelLeakCheck {
 public:
  explicit KernelLeakCheck(std::string directory)
      : directory_(std::move(directory)), descriptors_(OpenDescriptors()) {
    EnterOwnMountNamespace();
  }
  ~KernelLeakCheck() {
    // A loop device clears itself after its last user has gone, in the kernel's own time.
    EXPECT_TRUE(Eventually([this] { return Leftovers(directory_).empty(); }))
        << ::testing::PrintToString(Leftovers(directory_));
    EndLeftovers(directory_);
    // gRPC closes some of this test's, and of an earlier one's, in its own time.
    EXPECT_TRUE(Eventually([this] { return NewDescriptors().empty(); }))
        << ::testing::PrintToString(NewDescriptors());
  }
  KernelLeakCheck(const KernelLeakCheck&) = delete;
  KernelLeakCheck& operator=(const KernelLeakCheck&) = delete;

 private:
  std::map<std::string, std::string> NewDescriptors() const {
    std::map<std::string, std::string> found = OpenDescriptors();
    std::erase_if(found, [this](const auto& descriptor) {
      const auto before = descriptors_.find(descriptor.first);
      return before != descriptors_.end() && before->second == descriptor.second;
    });
    return found;
  }

  const std::string directory_;
  const std::map<std::string, std::string> descriptors_;
};

}  // namespace slacker::testing
