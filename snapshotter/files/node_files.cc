#include "snapshotter/files/node_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <limits>
#include <memory>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, "write " + path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(const std::string& path,
                          const std::function<absl::Status(const FileSink&)>& write) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, "create " + path);
  RETURN_IF_ERROR(
      write([&fd, &path](std::string_view bytes) { return WriteAll(fd.get(), bytes, path); }));
  if (fsync(fd.get()) != 0) return ErrnoError(errno, "fsync " + path);
  return absl::OkStatus();
}

// At most `wanted` bytes of a file of at most `limit`.
absl::StatusOr<std::string> ReadPlainFile(const std::string& path, uint64_t wanted,
                                          uint64_t limit) {
  // O_NONBLOCK: a fifo in its place must not hold us up.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return NotFound("there is no " + path);
    return ErrnoError(errno, "open " + path);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoError(errno, "stat " + path);
  if (!S_ISREG(info.st_mode)) return DataLoss(path + " is not a file");
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > limit) return ResourceExhausted(path + " is too large");
  std::string content(std::min(size, wanted), '\0');
  size_t have = 0;
  while (have < content.size()) {
    const ssize_t got = read(fd.get(), content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + path);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  content.resize(have);
  return content;
}

}  // namespace

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return ErrnoError(error.value(), "mkdir " + path);
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content) {
  return WriteFileAtomically(path, [content](const FileSink& sink) { return sink(content); });
}

absl::Status WriteFileAtomically(const std::string& path,
                                 const std::function<absl::Status(const FileSink& sink)>& write) {
  const std::string aside = path + std::string(kAsideSuffix);
  absl::Status status = WriteAndSync(aside, write);
  if (status.ok() && rename(aside.c_str(), path.c_str()) != 0) {
    status = ErrnoError(errno, "rename " + aside);
  }
  if (!status.ok()) (void)unlink(aside.c_str());  // the next start would remove it too
  return status;
}

absl::Status SyncDirectory(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  if (fsync(fd.get()) != 0) return ErrnoError(errno, "fsync " + path);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t limit) {
  return ReadPlainFile(path, limit, limit);
}

absl::StatusOr<std::string> ReadFileStart(const std::string& path, uint64_t size) {
  return ReadPlainFile(path, size, std::numeric_limits<uint64_t>::max());
}

absl::StatusOr<FileDigest> DigestOfFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return NotFound("there is no " + path);
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  FileDigest file;
  Sha256 hash;
  std::string buffer(kReadBytes, '\0');
  for (;;) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + path);
    if (got == 0) break;
    hash.Update(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
    file.size_bytes += static_cast<uint64_t>(got);
  }
  file.digest = hash.Finish();
  return file;
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
  if (dir == nullptr) {
    if (errno == ENOENT) return names;
    return ErrnoError(errno, "opendir " + path);
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(dir.get());  // NOLINT(concurrency-mt-unsafe): a stream of its own
    if (entry == nullptr && errno != 0) return ErrnoError(errno, "readdir " + path);
    if (entry == nullptr) return names;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
}

std::string_view WithoutAside(std::string_view name) {
  if (name.ends_with(kAsideSuffix)) name.remove_suffix(kAsideSuffix.size());
  return name;
}

std::optional<uint64_t> IdOfName(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  uint64_t id = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, id);
  if (error != std::errc() || stop != end || std::to_string(id) != name) return std::nullopt;
  return id;
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "unlink " + path);
  return absl::OkStatus();
}

std::string TreePath(const std::string& root, uint64_t image_id) {
  return root + "/snapshots/i" + std::to_string(image_id) + "/fs";
}

int64_t AllocatedBytes(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return 0;
  return int64_t{info.st_blocks} * 512;
}

}  // namespace slacker
