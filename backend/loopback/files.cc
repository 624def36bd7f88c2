#include "backend/loopback/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "backend/base/status.h"
#include "backend/temporary_name.h"

namespace slacker::loopback {
namespace {

// File systems outside the kernel's tree.
constexpr uint32_t kZfsMagic = 0x2fc12fc1;
constexpr uint32_t kBcachefsMagic = 0xca451a4e;

}  // namespace

absl::Status WriteError(int error, const std::string& what, const std::string& path) {
  absl::Status status = ErrnoError(error, what + " " + path);
  struct statvfs info {};
  if (error != ENOSPC || statvfs(DirectoryOf(path).c_str(), &info) != 0) return status;
  // File systems without a table of inodes say 0 of both.
  if (info.f_files == 0 || info.f_favail > 0) return status;
  return Annotate(status, "the file system has no inodes left, whatever space it has");
}

absl::Status SyncDirectory(const std::string& path) {
  const UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "open " + path);
  if (fsync(directory.get()) != 0) return ErrnoError(errno, "fsync " + path);
  return absl::OkStatus();
}

absl::Status MakeDirectoryDurably(const std::string& path) {
  if (mkdir(path.c_str(), 0755) != 0) {
    if (errno != EEXIST) return WriteError(errno, "mkdir", path);
    if (!IsDirectory(path)) return ErrnoError(ENOTDIR, "mkdir " + path);
  }
  // Also when it was there: whoever made it may not have come to its own fsync yet.
  return SyncDirectory(DirectoryOf(path));
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

void SweepTemporaries(const std::string& directory, int64_t modified_before) {
  std::error_code error;
  std::filesystem::directory_iterator it(directory, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    // Mostly known without a system call: a store has many objects, and few of these.
    std::error_code vanished;
    const auto type = it->symlink_status(vanished).type();
    if (type == std::filesystem::file_type::directory) SweepTemporaries(path, modified_before);
    struct stat info {};
    if (type == std::filesystem::file_type::regular &&
        IsTemporaryName(it->path().filename().string()) && lstat(path.c_str(), &info) == 0 &&
        info.st_mtim.tv_sec < modified_before) {
      (void)unlink(path.c_str());  // the next one tries again
    }
  }
}

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool IsOfThisMachine(uint32_t type) {
  switch (type) {
    case EXT4_SUPER_MAGIC:  // ext2 and ext3, too
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case EROFS_SUPER_MAGIC_V1:
    case SQUASHFS_MAGIC:
    case ISOFS_SUPER_MAGIC:
    case MSDOS_SUPER_MAGIC:
    case kZfsMagic:
    case kBcachefsMagic:
      return true;
    default:
      return false;
  }
}

bool IsOnNetwork(std::string path) {
  struct statfs info {};
  while (statfs(path.c_str(), &info) != 0) {
    if ((errno != ENOENT && errno != ENOTDIR) || path == "/") return true;  // nobody can tell
    path = DirectoryOf(path);
  }
  return !IsOfThisMachine(static_cast<uint32_t>(info.f_type));
}

}  // namespace slacker::loopback
