#include "backend/source/layout_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

constexpr int64_t kReadBytes = 1 << 20;

class FileSource final : public ByteSource {
 public:
  // Most files are small: a buffer is no larger than what is to be read.
  FileSource(UniqueFd fd, int64_t size_bytes, std::string path)
      : fd_(std::move(fd)),
        path_(std::move(path)),
        buffer_(static_cast<size_t>(std::clamp<int64_t>(size_bytes, 1, kReadBytes)), '\0') {}

  absl::StatusOr<std::string_view> Next() override {
    ssize_t got = 0;
    do {
      got = read(fd_.get(), buffer_.data(), buffer_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return ErrnoError(errno, "read " + path_);
    return std::string_view(buffer_).substr(0, static_cast<size_t>(got));
  }

 private:
  UniqueFd fd_;
  const std::string path_;
  std::string buffer_;
};

class DirectoryFiles final : public LayoutFiles {
 public:
  DirectoryFiles(UniqueFd directory, std::string path)
      : directory_(std::move(directory)), path_(std::move(path)) {}

  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) override {
    const std::string full = path_ + "/" + name;
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a fifo must not hold us up
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    UniqueFd fd(
        static_cast<int>(syscall(SYS_openat2, directory_.get(), name.c_str(), &how, sizeof how)));
    if (!fd.valid()) {
      if (errno == ENOENT) return NotFound("there is no " + full);
      if (errno == EXDEV || errno == ELOOP) {
        return InvalidArgument(full + " leads out of the image layout");
      }
      return ErrnoError(errno, "open " + full);
    }
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) return ErrnoError(errno, "stat " + full);
    if (!S_ISREG(info.st_mode)) return InvalidArgument(full + " is not a regular file");
    return std::make_unique<FileSource>(std::move(fd), info.st_size, full);
  }

  const std::string& path() const override { return path_; }

 private:
  const UniqueFd directory_;
  const std::string path_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LayoutFiles>> OpenDirectory(std::string_view directory) {
  if (directory.empty()) return InvalidArgument("the directory has no name");
  const std::string path = AbsolutePath(directory);
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return NotFound("there is no directory " + path);
    return ErrnoError(errno, "open " + path);
  }
  return std::make_unique<DirectoryFiles>(std::move(fd), path);
}

absl::StatusOr<std::string> ReadLayoutFile(LayoutFiles& files, const std::string& name,
                                           uint64_t limit) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, files.Open(name));
  absl::StatusOr<std::string> content = ReadAll(*file, limit);
  if (!content.ok()) return Annotate(content.status(), files.path() + "/" + name);
  return content;
}

std::string AbsolutePath(std::string_view path) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  return absolute.string();
}

}  // namespace slacker
