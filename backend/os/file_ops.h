// Directories of a node, by the verbs that the snapshotter needs; the seam that tests replace
// (tests/support/fake_file_ops.h, faulty_file_ops.h). Paths are absolute. Errors are those of
// ErrnoError, except where a method says otherwise. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

struct DiskUsage {
  int64_t size_bytes = 0;  // 512 × st_blocks of every inode, each once
  int64_t inodes = 0;
};

class FileOps {
 public:
  virtual ~FileOps() = default;

  // Creates a directory with exactly this mode (whatever the umask) and owner. FAILED_PRECONDITION
  // when the name is taken.
  virtual absl::Status MakeDirectory(const std::string& path, uint32_t mode, uint32_t uid,
                                     uint32_t gid) = 0;
  // fsync of a file or directory.
  virtual absl::Status Sync(const std::string& path) = 0;
  // Everything that was written to the file system of this file or directory so far, whoever wrote it
  // (syncfs).
  virtual absl::Status SyncFileSystem(const std::string& path) = 0;
  // rename(2) within one file system. FAILED_PRECONDITION when `to` exists.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // Rename, then fsync of both parents.
  virtual absl::Status RenameDurably(const std::string& from, const std::string& to) = 0;
  // Removes a tree; OK when it is not there. Does not cross mount points (FAILED_PRECONDITION when
  // one is below).
  virtual absl::Status RemoveTree(const std::string& path) = 0;
  // Names in a directory, without "." and "..", unsorted; empty when it does not exist.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;
  // Walks the tree without following symlinks or crossing file systems; entries that vanish
  // meanwhile are skipped. Where directories are moved during each of a few walks, the sum of what
  // the longest of them saw.
  virtual absl::StatusOr<DiskUsage> Usage(const std::string& path) = 0;
  // Owner and mode of a directory: new upper directories copy those of their parent's root.
  struct Owner {
    uint32_t mode = 0, uid = 0, gid = 0;
    bool operator==(const Owner&) const = default;
  };
  virtual absl::StatusOr<Owner> Stat(const std::string& path) = 0;
  virtual absl::Status SetOwner(const std::string& path, const Owner& owner) = 0;
};

// The real one; lives for ever.
FileOps& SystemFileOps();

}  // namespace slacker
