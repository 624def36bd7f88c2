#include "backend/loopback/loopback_backend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "backend/base/clock.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/loopback/files.h"
#include "backend/loopback/object_writer.h"
#include "backend/temporary_name.h"

namespace slacker {
namespace {

// Also where there is something that is no object: a link (ELOOP), a socket or a device (ENXIO).
bool IsMissing(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENXIO;
}

absl::Status MakeRoot(const std::string& root) {
  for (size_t slash = root.find('/', 1);; slash = root.find('/', slash + 1)) {
    const std::string path = root.substr(0, slash);
    if (!loopback::IsDirectory(path)) RETURN_IF_ERROR(loopback::MakeDirectoryDurably(path));
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

// Appends the names of what is below ROOT/`prefix`, which ends with a slash or is empty, but for
// directories.
absl::Status ListBelow(const std::string& root, const std::string& prefix,
                       std::vector<std::string>* names) {
  std::error_code error;
  std::filesystem::directory_iterator it(root + "/" + prefix, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string name = prefix + it->path().filename().string();
    if (!ValidateObjectName(name).ok()) continue;  // unfinished, or not ours
    std::error_code vanished;
    const auto type = it->symlink_status(vanished).type();
    if (type == std::filesystem::file_type::directory) {
      RETURN_IF_ERROR(ListBelow(root, name + "/", names));
    } else if (type != std::filesystem::file_type::not_found && !vanished) {
      names->push_back(name);
    }
  }
  if (error && !IsMissing(error.value())) {
    return ErrnoError(error.value(), "list " + root + "/" + prefix);
  }
  return absl::OkStatus();
}

// FIFOs of a hostile store must not block us, and its links must not lead out of it.
UniqueFd OpenForReading(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoopbackBackend>> LoopbackBackend::Open(std::string root,
                                                                       Missing missing) {
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  if (root.empty() || root[0] != '/') {
    return InvalidArgument("loopback: \"" + root + "\" is not an absolute path");
  }
  if (missing == Missing::kCreate) {
    RETURN_IF_ERROR(MakeRoot(root));
    const int64_t now = SystemClock().WallNanos() / 1'000'000'000;
    loopback::SweepTemporaries(root, now - kTemporaryLifeSeconds);
  }
  if (missing == Missing::kFail && !loopback::IsDirectory(root)) {
    return Unavailable("the store's directory " + root + " is missing");
  }
  ASSIGN_OR_RETURN(auto reads, ThreadPool::Make("loopback-store", kReadThreads));
  return std::unique_ptr<LoopbackBackend>(new LoopbackBackend(std::move(root), std::move(reads)));
}

LoopbackBackend::LoopbackBackend(std::string root, std::unique_ptr<ThreadPool> reads)
    : root_(std::move(root)), reads_(std::move(reads)) {}

std::string LoopbackBackend::PathOf(std::string_view name) const {
  return root_ + "/" + std::string(name);
}

absl::Status LoopbackBackend::Missed(std::string_view name) const {
  if (!loopback::IsDirectory(root_)) {
    return Unavailable("the store's directory " + root_ + " is missing");
  }
  return NotFound("no object " + std::string(name));
}

void LoopbackBackend::ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                                ReadCallback done) {
  reads_->Add([this, name = std::string(name), offset, size, done = std::move(done)] {
    done(ReadNow(name, offset, size));
  });
}

absl::StatusOr<std::string> LoopbackBackend::ReadNow(const std::string& name, uint64_t offset,
                                                     uint64_t size) const {
  RETURN_IF_ERROR(ValidateRead(name, size));
  const UniqueFd file = OpenForReading(PathOf(name));
  if (!file.valid()) {
    if (IsMissing(errno)) return Missed(name);
    return ErrnoError(errno, "open " + PathOf(name));
  }
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return ErrnoError(errno, "stat " + PathOf(name));
  if (!S_ISREG(info.st_mode)) return Missed(name);
  const auto length = static_cast<uint64_t>(info.st_size);
  std::string bytes(offset < length ? std::min(size, length - offset) : 0, '\0');
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = pread(file.get(), bytes.data() + have, bytes.size() - have,
                              static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + PathOf(name));
    if (got == 0) break;  // cut short under our hands: its reader will not be able to verify it
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

absl::StatusOr<ObjectInfo> LoopbackBackend::Stat(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  struct stat info {};
  if (lstat(PathOf(name).c_str(), &info) != 0) {
    if (IsMissing(errno)) return Missed(name);
    return ErrnoError(errno, "stat " + PathOf(name));
  }
  if (!S_ISREG(info.st_mode)) return Missed(name);
  return ObjectInfo{static_cast<uint64_t>(info.st_size), info.st_mtim.tv_sec};
}

absl::Status LoopbackBackend::MakeDirectories(std::string_view name) {
  if (!loopback::IsDirectory(root_)) return Missed(name);
  for (size_t slash = name.find('/'); slash != std::string_view::npos;
       slash = name.find('/', slash + 1)) {
    const std::string directory(name.substr(0, slash));
    {
      MutexLock lock(&mutex_);
      if (durable_directories_.contains(directory)) continue;
    }
    RETURN_IF_ERROR(loopback::MakeDirectoryDurably(PathOf(directory)));
    MutexLock lock(&mutex_);
    durable_directories_.insert(directory);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> LoopbackBackend::Create(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  RETURN_IF_ERROR(MakeDirectories(name));
  return loopback::FileWriter::Open(PathOf(name));
}

absl::Status LoopbackBackend::Replace(std::string_view name, std::string_view content) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  RETURN_IF_ERROR(MakeDirectories(name));
  ASSIGN_OR_RETURN(auto writer, loopback::FileWriter::Open(PathOf(name)));
  RETURN_IF_ERROR(writer->Append(content));
  return writer->CommitOver();
}

absl::StatusOr<std::vector<std::string>> LoopbackBackend::List(std::string_view prefix) {
  RETURN_IF_ERROR(ValidateListPrefix(prefix));
  if (!loopback::IsDirectory(root_)) return Missed(prefix);
  std::vector<std::string> names;
  RETURN_IF_ERROR(ListBelow(root_, std::string(prefix), &names));
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status LoopbackBackend::Remove(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  const std::string path = PathOf(name);
  if (unlink(path.c_str()) != 0) {
    if (!IsMissing(errno)) return ErrnoError(errno, "remove " + path);
    if (absl::Status missed = Missed(name); !absl::IsNotFound(missed)) return missed;
    return absl::OkStatus();
  }
  return loopback::SyncDirectory(loopback::DirectoryOf(path));
}

absl::Status LoopbackBackend::Move(std::string_view from, std::string_view to) {
  RETURN_IF_ERROR(ValidateObjectName(from));
  RETURN_IF_ERROR(ValidateObjectName(to));
  RETURN_IF_ERROR(MakeDirectories(to));
  const std::string source = PathOf(from);
  const std::string target = PathOf(to);
  if (rename(source.c_str(), target.c_str()) != 0) {
    if (IsMissing(errno)) return Missed(from);
    return ErrnoError(errno, "rename " + source);
  }
  SLACKER_FAILPOINT("loopback.moved");
  RETURN_IF_ERROR(loopback::SyncDirectory(loopback::DirectoryOf(target)));
  return loopback::SyncDirectory(loopback::DirectoryOf(source));
}

}  // namespace slacker
