#include "backend/source/tar_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/layer/tar_header.h"

namespace slacker {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr uint64_t kFirstWindowBytes = 4 << 10;
constexpr uint64_t kMaxWindowBytes = 4 << 20;  // of the headers of one member
constexpr size_t kMaxMembers = 262'144;
constexpr size_t kMaxNameBytes = 64 << 20;
constexpr int kMaxLinks = 8;

struct Member {
  char type = kTarRegular;  // or kTarLink, kTarSymlink; anything else cannot be read
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  std::string link;
};

std::string WithoutDot(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  return std::string(name);
}

// Bytes of a file at an offset; fewer only where it ends.
absl::StatusOr<size_t> ReadAt(int fd, uint64_t offset, char* to, size_t size) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n = pread(fd, to + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read");
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return got;
}

class RangeSource final : public ByteSource {
 public:
  RangeSource(int fd, uint64_t offset, uint64_t size, std::string what)
      : fd_(fd), offset_(offset), left_(size), what_(std::move(what)) {}

  absl::StatusOr<std::string_view> Next() override {
    buffer_.resize(static_cast<size_t>(std::min<uint64_t>(left_, kReadBytes)));
    const auto got = ReadAt(fd_, offset_, buffer_.data(), buffer_.size());
    if (!got.ok()) return Annotate(got.status(), what_);
    if (*got < buffer_.size()) return DataLoss(what_ + ": the archive has become shorter");
    offset_ += *got;
    left_ -= *got;
    return std::string_view(buffer_);
  }

 private:
  const int fd_;
  uint64_t offset_;
  uint64_t left_;
  const std::string what_;
  std::string buffer_;
};

class TarFile final : public LayoutFiles {
 public:
  TarFile(UniqueFd fd, std::string path, uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  absl::Status Index();
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) override;
  const std::string& path() const override { return path_; }

 private:
  // The headers at `at`, with as much of the file before them as they need. *ended: they are the
  // end mark.
  absl::StatusOr<TarHeaderStep> ReadHeaders(uint64_t at, bool* ended) const;
  absl::Status AddMember(const TarHeader& header, uint64_t offset);

  const UniqueFd fd_;
  const std::string path_;
  const uint64_t size_;
  std::unordered_map<std::string, Member> members_;  // fixed after Index
  size_t name_bytes_ = 0;
};

absl::StatusOr<TarHeaderStep> TarFile::ReadHeaders(uint64_t at, bool* ended) const {
  std::string window;
  for (uint64_t want = kFirstWindowBytes;; want *= 4) {
    window.resize(static_cast<size_t>(std::min(want, size_ - at)));
    ASSIGN_OR_RETURN(const size_t got, ReadAt(fd_.get(), at, window.data(), window.size()));
    window.resize(got);
    const bool all = at + window.size() >= size_ || want >= kMaxWindowBytes;
    auto step = NextTarHeader(window);
    if (!step.ok()) {
      if (all) return step;
      continue;  // it may need more of the file
    }
    if (step->kind != TarHeaderStep::Kind::kEnd) return step;
    *ended = window.size() - step->consumed >= kTarBlock;
    if (*ended) return step;
    if (all) return InvalidArgument("the end mark is missing: the archive is truncated");
  }
}

absl::Status TarFile::Index() {
  uint64_t at = 0;
  for (size_t members = 0;; ++members) {
    if (members > kMaxMembers) return InvalidArgument("it has more than 262,144 members");
    bool ended = false;
    auto step = ReadHeaders(at, &ended);
    if (!step.ok()) return Annotate(step.status(), "at byte " + std::to_string(at));
    if (ended) return absl::OkStatus();
    at += step->consumed;
    if (step->kind == TarHeaderStep::Kind::kGlobal) continue;
    const uint64_t stored = step->header.stored_bytes;
    if (stored > size_ - at || TarPadded(stored) > size_ - at) {
      return InvalidArgument("it ends within " + step->header.name.substr(0, 200) +
                             ": it is truncated");
    }
    RETURN_IF_ERROR(AddMember(step->header, at));
    at += TarPadded(stored);
  }
}

absl::Status TarFile::AddMember(const TarHeader& header, uint64_t offset) {
  if (header.type == kTarDirectory) return absl::OkStatus();
  std::string name = WithoutDot(header.name);
  name_bytes_ += name.size() + header.link_name.size();
  if (name_bytes_ > kMaxNameBytes) return InvalidArgument("it has more than 64 MiB of names");
  const char type = header.sparse ? 'S' : header.type;
  Member member{type, offset, header.stored_bytes, header.link_name};
  if (!members_.emplace(name, std::move(member)).second) {
    return InvalidArgument("it has two files called " + name.substr(0, 200));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ByteSource>> TarFile::Open(const std::string& name) {
  std::string at = name;
  for (int links = 0; links <= kMaxLinks; ++links) {
    const auto found = members_.find(at);
    if (found == members_.end()) return NotFound("there is no " + at + " in " + path_);
    const Member& member = found->second;
    if (member.type == kTarRegular) {
      return std::make_unique<RangeSource>(fd_.get(), member.offset, member.size_bytes,
                                           path_ + "/" + at);
    }
    if (member.type == kTarLink) {
      at = WithoutDot(member.link);
    } else if (member.type == kTarSymlink) {
      at = (std::filesystem::path(at).parent_path() / member.link).lexically_normal().string();
    } else {
      return InvalidArgument(path_ + "/" + at + " is not a regular file");
    }
    if (at.starts_with("/") || at == ".." || at.starts_with("../")) {
      return InvalidArgument(path_ + "/" + name + " leads out of the archive");
    }
  }
  return InvalidArgument(path_ + "/" + name + " is a link to too many links");
}

}  // namespace

absl::StatusOr<std::unique_ptr<LayoutFiles>> OpenTarFile(std::string_view file) {
  if (file.empty()) return InvalidArgument("the archive has no name");
  const std::string path = AbsolutePath(file);
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a fifo must not hold us up
  if (!fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return NotFound("there is no file " + path);
    return ErrnoError(errno, "open " + path);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoError(errno, "stat " + path);
  if (!S_ISREG(info.st_mode)) return InvalidArgument(path + " is not a regular file");
  char magic[4] = {};
  ASSIGN_OR_RETURN(const size_t got, ReadAt(fd.get(), 0, magic, sizeof magic));
  const std::string_view head(magic, got);
  if (head.starts_with("\x1f\x8b") || head.starts_with("\x28\xb5\x2f\xfd")) {
    return InvalidArgument(path + " is compressed: unpack it with gunzip or zstd -d first");
  }
  auto tar = std::make_unique<TarFile>(std::move(fd), path, static_cast<uint64_t>(info.st_size));
  RETURN_IF_ERROR(Annotate(tar->Index(), path));
  return tar;
}

}  // namespace slacker
