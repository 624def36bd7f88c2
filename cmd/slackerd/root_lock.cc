#include "cmd/slackerd/root_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "backend/base/status.h"

namespace slacker {
namespace {

std::string LockPath(const std::string& root) { return root + "/lock"; }

absl::Status Acquire(int fd, const std::string& root) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return ErrnoError(errno, "lock " + LockPath(root));
  return FailedPrecondition("another daemon uses the root " + root);
}

}  // namespace

absl::StatusOr<RootLock> RootLock::Take(const std::string& root) {
  std::error_code error;
  if (std::filesystem::create_directories(root, error)) {
    std::filesystem::permissions(root, std::filesystem::perms::owner_all, error);
  }
  if (error) return ErrnoError(error.value(), "mkdir " + root);
  UniqueFd fd(open(LockPath(root).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoError(errno, "open " + LockPath(root));
  RETURN_IF_ERROR(Acquire(fd.get(), root));
  return RootLock(std::move(fd));
}

absl::StatusOr<RootLock> RootLock::Adopt(const std::string& root, UniqueFd fd) {
  struct stat expected {};
  struct stat got {};
  if (stat(LockPath(root).c_str(), &expected) != 0) {
    return ErrnoError(errno, "stat " + LockPath(root));
  }
  if (fstat(fd.get(), &got) != 0) return ErrnoError(errno, "stat of a received descriptor");
  if (expected.st_dev != got.st_dev || expected.st_ino != got.st_ino) {
    return InvalidArgument("the received descriptor is not the lock of " + root);
  }
  RETURN_IF_ERROR(Acquire(fd.get(), root));
  return RootLock(std::move(fd));
}

}  // namespace slacker
