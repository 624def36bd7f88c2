#include "backend/os/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

constexpr int kOpenFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int64_t kStatBlock = 512;
constexpr int kMeterAttempts = 3;

struct CloseDirectory {
  void operator()(DIR* dir) const { (void)closedir(dir); }  // read only: nothing to lose
};

// Where a directory is: its mount too, since a bind mount has the device of its source.
struct Place {
  uint32_t major = 0, minor = 0;
  uint64_t inode = 0, mount = 0;
  bool operator==(const Place&) const = default;
};

absl::StatusOr<Place> PlaceOf(int fd, const std::string& path) {
  struct statx st {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &st) != 0) {
    return ErrnoError(errno, "statx " + path);
  }
  return Place{.major = st.stx_dev_major,
               .minor = st.stx_dev_minor,
               .inode = st.stx_ino,
               .mount = st.stx_mnt_id};
}

// What a walk does with what it finds. An error ends the walk.
class Visitor {
 public:
  virtual ~Visitor() = default;
  // Anything that is not a directory.
  virtual absl::Status File(int directory, const std::string& name) = 0;
  // A directory, before what is in it.
  virtual absl::Status Enter(int fd) = 0;
  // A directory below the top, after what is in it was visited; `parent` holds it as `name`.
  virtual absl::Status Leave(int parent, const std::string& name) = 0;
  // A directory on another mount: true = pass it over, false = end the walk.
  virtual bool SkipsMountPoints() const = 0;
};

class TreeWalk {
 public:
  TreeWalk(std::string path, Visitor* visitor) : path_(std::move(path)), visitor_(visitor) {}

  absl::Status Run(UniqueFd top) {
    current_ = std::move(top);
    RETURN_IF_ERROR(Arrive(""));
    while (true) {
      Level& level = levels_.back();
      if (!level.subdirectories.empty()) {
        const std::string name = std::move(level.subdirectories.back());
        level.subdirectories.pop_back();
        RETURN_IF_ERROR(Descend(name));
      } else if (levels_.size() > 1) {
        RETURN_IF_ERROR(Ascend());
      } else {
        return absl::OkStatus();
      }
    }
  }

 private:
  struct Level {
    std::string name;
    Place place;
    std::vector<std::string> subdirectories;  // still to be visited
  };

  // Takes up the directory that current_ is open on.
  absl::Status Arrive(const std::string& name) {
    Level level{.name = name, .place = {}, .subdirectories = {}};
    ASSIGN_OR_RETURN(level.place, PlaceOf(current_.get(), path_));
    RETURN_IF_ERROR(visitor_->Enter(current_.get()));
    ASSIGN_OR_RETURN(std::vector<DirectoryEntry> entries, ReadDirectory(current_.get(), path_));
    for (DirectoryEntry& entry : entries) {
      if (entry.type == DT_DIR || (entry.type == DT_UNKNOWN && IsDirectory(entry.name))) {
        level.subdirectories.push_back(std::move(entry.name));
      } else {
        RETURN_IF_ERROR(visitor_->File(current_.get(), entry.name));
      }
    }
    levels_.push_back(std::move(level));
    return absl::OkStatus();
  }

  bool IsDirectory(const std::string& name) const {
    struct stat st {};
    return fstatat(current_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st.st_mode);
  }

  absl::Status Descend(const std::string& name) {
    UniqueFd child(openat(current_.get(), name.c_str(), kOpenFlags));
    if (!child.valid()) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return absl::OkStatus();
      return ErrnoError(errno, "open a directory in " + path_);
    }
    ASSIGN_OR_RETURN(const Place place, PlaceOf(child.get(), path_));
    const Place& top = levels_.front().place;
    if (place.mount != top.mount || place.major != top.major || place.minor != top.minor) {
      if (visitor_->SkipsMountPoints()) return absl::OkStatus();
      return FailedPrecondition("there is a mount point below " + path_);
    }
    current_ = std::move(child);
    return Arrive(name);
  }

  absl::Status Ascend() {
    const std::string name = std::move(levels_.back().name);
    levels_.pop_back();
    UniqueFd parent(openat(current_.get(), "..", kOpenFlags));
    if (!parent.valid()) return ErrnoError(errno, "open a parent directory in " + path_);
    ASSIGN_OR_RETURN(const Place place, PlaceOf(parent.get(), path_));
    if (place != levels_.back().place) {
      return Unavailable("directories were moved during a walk of " + path_);
    }
    current_ = std::move(parent);
    return visitor_->Leave(current_.get(), name);
  }

  const std::string path_;
  Visitor* const visitor_;
  UniqueFd current_;
  std::vector<Level> levels_;  // from the top to the current directory
};

class Remover final : public Visitor {
 public:
  explicit Remover(const std::string& path) : path_(path) {}
  absl::Status File(int directory, const std::string& name) override {
    return Unlink(directory, name, 0);
  }
  absl::Status Enter(int /*fd*/) override { return absl::OkStatus(); }
  absl::Status Leave(int parent, const std::string& name) override {
    return Unlink(parent, name, AT_REMOVEDIR);
  }
  bool SkipsMountPoints() const override { return false; }

 private:
  absl::Status Unlink(int directory, const std::string& name, int flags) const {
    if (unlinkat(directory, name.c_str(), flags) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno == EBUSY) return FailedPrecondition("there is a mount point below " + path_);
    return ErrnoError(errno, "unlink in " + path_);
  }
  const std::string& path_;
};

class Meter final : public Visitor {
 public:
  absl::Status File(int directory, const std::string& name) override {
    struct stat st {};
    // What cannot be looked at has vanished since the directory was read.
    if (fstatat(directory, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) Add(st);
    return absl::OkStatus();
  }
  absl::Status Enter(int fd) override {
    struct stat st {};
    if (fstat(fd, &st) == 0) Add(st);
    return absl::OkStatus();
  }
  absl::Status Leave(int /*parent*/, const std::string& /*name*/) override {
    return absl::OkStatus();
  }
  bool SkipsMountPoints() const override { return true; }
  DiskUsage total() const { return total_; }

 private:
  void Add(const struct stat& st) {
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !linked_.insert(st.st_ino).second) return;
    total_.size_bytes += static_cast<int64_t>(st.st_blocks) * kStatBlock;
    ++total_.inodes;
  }
  DiskUsage total_;
  std::unordered_set<ino_t> linked_;
};

}  // namespace

absl::StatusOr<std::vector<DirectoryEntry>> ReadDirectory(int fd, const std::string& path) {
  // closedir() closes its descriptor, and the caller goes on with his.
  UniqueFd own(openat(fd, ".", kOpenFlags));
  if (!own.valid()) return ErrnoError(errno, "open " + path);
  const std::unique_ptr<DIR, CloseDirectory> dir(fdopendir(own.get()));
  if (dir == nullptr) return ErrnoError(errno, "open " + path);
  (void)own.Release();
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir.get());  // NOLINT(concurrency-mt-unsafe): a stream per call
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") entries.push_back({std::string(name), entry->d_type});
  }
  if (errno != 0) return ErrnoError(errno, "read directory " + path);
  return entries;
}

absl::Status RemoveTreeAt(const std::string& path) {
  UniqueFd top(open(path.c_str(), kOpenFlags));
  if (!top.valid()) {
    if (errno == ENOENT) return absl::OkStatus();
    if (errno != ENOTDIR && errno != ELOOP) return ErrnoError(errno, "open " + path);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "unlink " + path);
    return absl::OkStatus();
  }
  Remover remover(path);
  RETURN_IF_ERROR(TreeWalk(path, &remover).Run(std::move(top)));
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno == EBUSY) return FailedPrecondition(path + " is a mount point");
  return ErrnoError(errno, "rmdir " + path);
}

absl::StatusOr<DiskUsage> UsageOfTree(const std::string& path) {
  DiskUsage most;
  for (int attempt = 0; attempt < kMeterAttempts; ++attempt) {
    UniqueFd top(open(path.c_str(), kOpenFlags));
    if (!top.valid()) return ErrnoError(errno, "open " + path);
    Meter meter;
    const absl::Status walked = TreeWalk(path, &meter).Run(std::move(top));
    if (walked.ok()) return meter.total();
    // Moved or deleted under the walk; anything else says something about the disk.
    if (!absl::IsUnavailable(walked) && !absl::IsNotFound(walked)) return walked;
    if (meter.total().inodes > most.inodes) most = meter.total();
  }
  return most;
}

}  // namespace slacker
