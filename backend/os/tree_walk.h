// Walking directory trees that hostile programs made: any depth, with two descriptors open at a
// time and no recursion; no symlink is followed and no mount point is crossed. Private to
// backend/os. Thread-safe.
//
// The walk goes down by openat(2) of a name and up by "..", and compares device and inode of where
// it arrives with where it came from, so that a directory moved meanwhile cannot lead it out of its
// tree.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/os/file_ops.h"

namespace slacker {

struct DirectoryEntry {
  std::string name;
  unsigned char type;  // DT_*, DT_UNKNOWN on file systems that do not tell
};

// The entries of an open directory without "." and ".."; `path` is for messages.
absl::StatusOr<std::vector<DirectoryEntry>> ReadDirectory(int fd, const std::string& path);

// FileOps::RemoveTree and FileOps::Usage.
absl::Status RemoveTreeAt(const std::string& path);
absl::StatusOr<DiskUsage> UsageOfTree(const std::string& path);

}  // namespace slacker
