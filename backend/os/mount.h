// Mounts of this process's mount namespace. Thread-safe (no state). Errors are those of ErrnoError;
// where the kernel's mount API explains itself, its text is in the message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

struct MountEntry {
  uint32_t major = 0, minor = 0;  // st_dev of the mounted file system
  std::string mount_point;
  std::string fs_type;
  std::string source;
};

// What is mounted, in the order of /proc/self/mountinfo: a later entry with the same mount point
// hides the earlier one. Asks no mounted file system.
absl::StatusOr<std::vector<MountEntry>> ListMounts();

// Parses the text of a mountinfo file; paths come back unescaped. INTERNAL when a line does not
// have the form of proc(5).
absl::StatusOr<std::vector<MountEntry>> ParseMountInfo(std::string_view text);

// Mounts an EROFS image, read-only: `primary` is the block device with the metadata image,
// `devices` are its extra devices in the order of its device table. Any number of devices.
absl::Status MountErofs(const std::string& primary, const std::vector<std::string>& devices,
                        const std::string& mount_point);

// Mounts a FUSE file system served through `fuse_fd` (/dev/fuse), read-only, for root only. Does
// not wait for the server.
absl::Status MountFuse(int fuse_fd, const std::string& source, const std::string& mount_point);

// From now on mounts in this namespace and in others have nothing to do with each other.
absl::Status MakeMountsPrivate();

// Mounts a file system without a device (tmpfs, proc, overlay), with its own options.
absl::Status MountNodev(const std::string& type, const std::string& mount_point,
                        const std::string& options);

// Shows `source`, with what is mounted below it, at `mount_point` too.
absl::Status BindMount(const std::string& source, const std::string& mount_point);

// Takes away everything mounted exactly at `mount_point`; users keep what they have open
// (MNT_DETACH). OK when nothing is mounted there.
absl::Status UnmountAll(const std::string& mount_point);

}  // namespace slacker
