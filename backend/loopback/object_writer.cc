#include "backend/loopback/object_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/loopback/files.h"
#include "backend/temporary_name.h"

namespace slacker::loopback {

absl::StatusOr<std::unique_ptr<FileWriter>> FileWriter::Open(const std::string& path) {
  std::string temporary = DirectoryOf(path) + "/" + NewTemporaryName();
  UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.valid()) return WriteError(errno, "create", temporary);
  return std::unique_ptr<FileWriter>(new FileWriter(std::move(fd), std::move(temporary), path));
}

FileWriter::~FileWriter() {
  // Best effort: what is left is for the maintenance of ".tmp-" files.
  if (!temporary_.empty()) (void)unlink(temporary_.c_str());
}

absl::Status FileWriter::Append(std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd_.get(), data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, "write " + temporary_);
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status FileWriter::Flush() {
  if (fsync(fd_.get()) != 0) return ErrnoError(errno, "fsync " + temporary_);
  // Network file systems report some errors of writing only here.
  if (close(fd_.Release()) != 0) return ErrnoError(errno, "close " + temporary_);
  SLACKER_FAILPOINT("loopback.before_name");
  return absl::OkStatus();
}

absl::Status FileWriter::Commit() {
  RETURN_IF_ERROR(Flush());
  if (link(temporary_.c_str(), path_.c_str()) != 0) {
    if (errno != EEXIST) return ErrnoError(errno, "link " + path_);
    struct stat info {};
    if (lstat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
      return Internal("what is called " + path_ + " is no object");
    }
  }
  SLACKER_FAILPOINT("loopback.before_sync");
  (void)unlink(temporary_.c_str());  // the object is there; a leftover is harmless
  temporary_.clear();
  // Also when the name was taken: its writer may not have come to this point yet.
  return SyncDirectory(DirectoryOf(path_));
}

absl::Status FileWriter::CommitOver() {
  RETURN_IF_ERROR(Flush());
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return ErrnoError(errno, "rename " + path_);
  temporary_.clear();
  SLACKER_FAILPOINT("loopback.before_sync");
  return SyncDirectory(DirectoryOf(path_));
}

}  // namespace slacker::loopback
