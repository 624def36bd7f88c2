#include "backend/os/page_cache.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

// One call reads no more than a request of the device holds, or its read-ahead.
constexpr uint64_t kStepBytes = 128 << 10;

struct RegularFile {
  UniqueFd fd;  // invalid: it is none
  uint64_t size_bytes = 0;
};

RegularFile OpenBelow(int directory, const std::string& path) {
  const size_t name = path.find_first_not_of('/');
  if (name == std::string::npos) return {};
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_NOATIME;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  UniqueFd file(
      static_cast<int>(syscall(SYS_openat2, directory, path.c_str() + name, &how, sizeof how)));
  struct stat found {};
  if (!file.valid() || fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode)) return {};
  return {std::move(file), static_cast<uint64_t>(found.st_size)};
}

}  // namespace

absl::Status ReadInAdvance(const std::string& directory, std::span<const FileRange> ranges) {
  const UniqueFd root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return ErrnoError(errno, "open " + directory);
  RegularFile file;
  std::string_view open_path;
  for (const FileRange& range : ranges) {
    if (range.path != open_path) {
      file = OpenBelow(root.get(), range.path);
      open_path = range.path;
    }
    if (!file.fd.valid() || range.offset >= file.size_bytes) continue;
    const uint64_t end = range.offset + std::min(range.size_bytes, file.size_bytes - range.offset);
    for (uint64_t at = range.offset; at < end; at += kStepBytes) {
      (void)readahead(file.fd.get(), static_cast<off64_t>(at), std::min(kStepBytes, end - at));
    }
  }
  return absl::OkStatus();
}

}  // namespace slacker
