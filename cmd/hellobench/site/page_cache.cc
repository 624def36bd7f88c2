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

absl::Status DropPagesOf(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return absl::OkStatus();  // removed meanwhile
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) return ErrnoError(errno, "stat " + path);
  int64_t cached = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0) (void)poll(nullptr, 0, kPauseMs);
    const int failed = posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (failed != 0) return ErrnoError(failed, "posix_fadvise " + path);
    auto left = CachedBytes(fd.get(), status.st_size);
    if (!left.ok()) return Annotate(left.status(), path);
    if (*left == 0) return absl::OkStatus();
    cached = *left;
  }
  return FailedPrecondition("the page cache keeps " + std::to_string(cached) + " bytes of " + path);
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

absl::Status DropPages(const std::string& directory) {
  std::error_code error;
  if (!fs::exists(directory, error)) return absl::OkStatus();
  for (fs::recursive_directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_regular_file()) RETURN_IF_ERROR(DropPagesOf(entry->path().string()));
  }
  return error ? ErrnoError(error.value(), "read " + directory) : absl::OkStatus();
}

}  // namespace slacker::hellobench
