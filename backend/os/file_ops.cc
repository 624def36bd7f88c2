#include "backend/os/file_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/os/tree_walk.h"

namespace slacker {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class RealFileOps final : public FileOps {
 public:
  absl::Status MakeDirectory(const std::string& path, uint32_t mode, uint32_t uid,
                             uint32_t gid) override {
    if (mkdir(path.c_str(), 0700) != 0) {
      if (errno == EEXIST) return FailedPrecondition("mkdir " + path + ": the name is taken");
      return ErrnoError(errno, "mkdir " + path);
    }
    const absl::Status status = SetOwner(path, {.mode = mode, .uid = uid, .gid = gid});
    // A directory with other attributes than asked for is worse than none; a second error adds
    // nothing.
    if (!status.ok()) (void)rmdir(path.c_str());
    return status;
  }

  absl::Status Sync(const std::string& path) override {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) return ErrnoError(errno, "open " + path);
    if (fsync(fd.get()) != 0) return ErrnoError(errno, "fsync " + path);
    return absl::OkStatus();
  }

  absl::Status SyncFileSystem(const std::string& path) override {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) return ErrnoError(errno, "open " + path);
    if (syncfs(fd.get()) != 0) return ErrnoError(errno, "syncfs " + path);
    return absl::OkStatus();
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
      return absl::OkStatus();
    }
    if (errno == EEXIST) {
      return FailedPrecondition("rename " + from + " to " + to + ": the name is taken");
    }
    return ErrnoError(errno, "rename " + from + " to " + to);
  }

  absl::Status RenameDurably(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(Rename(from, to));
    RETURN_IF_ERROR(Sync(ParentOf(to)));
    return ParentOf(from) == ParentOf(to) ? absl::OkStatus() : Sync(ParentOf(from));
  }

  absl::Status RemoveTree(const std::string& path) override { return RemoveTreeAt(path); }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT) return std::vector<std::string>();
      return ErrnoError(errno, "open " + path);
    }
    ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, ReadDirectory(fd.get(), path));
    std::vector<std::string> names;
    names.reserve(entries.size());
    for (DirectoryEntry& entry : entries) names.push_back(std::move(entry.name));
    return names;
  }

  absl::StatusOr<DiskUsage> Usage(const std::string& path) override { return UsageOfTree(path); }

  absl::StatusOr<Owner> Stat(const std::string& path) override {
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) return ErrnoError(errno, "stat " + path);
    return Owner{.mode = st.st_mode & 07777U, .uid = st.st_uid, .gid = st.st_gid};
  }

  absl::Status SetOwner(const std::string& path, const Owner& owner) override {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "open " + path);
    // In this order: chown clears setuid and setgid.
    if (fchown(fd.get(), owner.uid, owner.gid) != 0) return ErrnoError(errno, "chown " + path);
    if (fchmod(fd.get(), owner.mode) != 0) return ErrnoError(errno, "chmod " + path);
    return absl::OkStatus();
  }
};

}  // namespace

FileOps& SystemFileOps() {
  static RealFileOps ops;
  return ops;
}

}  // namespace slacker
