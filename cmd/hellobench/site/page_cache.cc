#include "cmd/hellobench/site/page_cache.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {
namespace {

namespace fs = std::filesystem;

// cachestat(2), which is younger than the headers that this is built with.
constexpr long kCacheStatCall = 451;  // on every architecture
struct CacheStatRange {
  uint64_t offset = 0, bytes = 0;  // 0 bytes: to the end
};
struct CacheStat {
  uint64_t cached = 0, dirty = 0, written_back = 0, evicted = 0, recently_evicted = 0;  // pages
};

// Pages stay for an instant while somebody else looks at them: how often it is tried, and how long after
// the time before.
constexpr int kAttempts = 50;
constexpr int kPauseMs = 10;

constexpr size_t kPartBytes = 1 << 20;  // read at a time

int64_t PageBytes() { return sysconf(_SC_PAGESIZE); }

absl::StatusOr<int64_t> CachedByMapping(int fd, int64_t size_bytes) {
  if (size_bytes == 0) return 0;
  const auto size = static_cast<size_t>(size_bytes);
  void* const mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return ErrnoError(errno, "mmap");
  std::vector<unsigned char> pages((size_bytes + PageBytes() - 1) / PageBytes());
  const int failed = mincore(mapped, size, pages.data()) == 0 ? 0 : errno;
  (void)munmap(mapped, size);  // ours
  if (failed != 0) return ErrnoError(failed, "mincore");
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }) *
         PageBytes();
}

// Opened for reading, with its size; no file if it was removed meanwhile.
struct OpenedFile {
  UniqueFd fd;
  int64_t bytes = 0;
};
absl::StatusOr<OpenedFile> OpenToRead(const std::string& path) {
  OpenedFile file{UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC))};
  if (!file.fd.valid() && errno == ENOENT) return file;
  if (!file.fd.valid()) return ErrnoError(errno, "open " + path);
  struct stat status = {};
  if (fstat(file.fd.get(), &status) != 0) return ErrnoError(errno, "stat " + path);
  file.bytes = status.st_size;
  return file;
}

absl::Status DropPagesOf(const std::string& path) {
  ASSIGN_OR_RETURN(const OpenedFile file, OpenToRead(path));
  if (!file.fd.valid()) return absl::OkStatus();
  int64_t cached = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0) (void)poll(nullptr, 0, kPauseMs);
    const int failed = posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (failed != 0) return ErrnoError(failed, "posix_fadvise " + path);
    auto left = CachedBytes(file.fd.get(), file.bytes);
    if (!left.ok()) return Annotate(left.status(), path);
    if (*left == 0) return absl::OkStatus();
    cached = *left;
  }
  return FailedPrecondition("the page cache keeps " + std::to_string(cached) + " bytes of " + path);
}

absl::Status ReadPagesOf(const std::string& path) {
  ASSIGN_OR_RETURN(const OpenedFile file, OpenToRead(path));
  std::vector<char> part(file.fd.valid() ? kPartBytes : 0);
  for (ssize_t bytes = part.empty() ? 0 : 1; bytes > 0;) {
    bytes = read(file.fd.get(), part.data(), part.size());
    if (bytes < 0) return ErrnoError(errno, "read " + path);
  }
  return absl::OkStatus();
}

absl::Status CheckCached(const std::string& path) {
  ASSIGN_OR_RETURN(const OpenedFile file, OpenToRead(path));
  if (!file.fd.valid()) return absl::OkStatus();
  const auto cached = CachedBytes(file.fd.get(), file.bytes);
  if (!cached.ok()) return Annotate(cached.status(), path);
  if (*cached >= file.bytes) return absl::OkStatus();
  return FailedPrecondition("the page cache has " + std::to_string(*cached) + " of " +
                            std::to_string(file.bytes) + " bytes of " + path);
}

absl::Status ForEachFile(const std::string& directory,
                         absl::Status (*action)(const std::string& path)) {
  std::error_code error;
  if (!fs::exists(directory, error)) return absl::OkStatus();
  for (fs::recursive_directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_regular_file()) RETURN_IF_ERROR(action(entry->path().string()));
  }
  return error ? ErrnoError(error.value(), "read " + directory) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> CachedBytes(int fd, int64_t size_bytes) {
  const CacheStatRange all;
  CacheStat found;
  if (syscall(kCacheStatCall, fd, &all, &found, 0) == 0) {
    return static_cast<int64_t>(found.cached) * PageBytes();
  }
  // Filters of system calls answer EPERM for those that they do not know, some file systems EOPNOTSUPP.
  if (errno != ENOSYS && errno != EPERM && errno != EOPNOTSUPP) {
    return ErrnoError(errno, "cachestat");
  }
  return CachedByMapping(fd, size_bytes);
}

absl::Status DropPages(const std::string& directory) { return ForEachFile(directory, DropPagesOf); }

absl::Status ReadPages(const std::string& directory) {
  absl::Status kept;
  // Somebody may drop all page caches meanwhile.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    RETURN_IF_ERROR(ForEachFile(directory, ReadPagesOf));
    // When all have been read: each takes the others' memory.
    kept = ForEachFile(directory, CheckCached);
    if (!absl::IsFailedPrecondition(kept)) return kept;
  }
  return kept;
}

}  // namespace slacker::hellobench
