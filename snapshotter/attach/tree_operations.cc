#include "snapshotter/attach/tree_operations.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/os/loop_device.h"
#include "backend/os/mount.h"

namespace slacker::attach {
namespace {

constexpr uint64_t kMetadataInAdvance = 8 << 20;  // that of some 50,000 files
constexpr uint32_t kLoopMajor = 7;                // LOOP_MAJOR, Linux' devices.txt

absl::StatusOr<std::string> Canonical(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> found(realpath(path.c_str(), nullptr), free);
  if (found == nullptr) return ErrnoError(errno, "realpath " + path);
  return std::string(found.get());
}

constexpr std::string_view kCacheSuffix = ".data";

std::string FileOf(const std::string& fuse_directory, uint64_t blob_id) {
  return fuse_directory + "/" + std::to_string(blob_id);
}

std::string CacheOf(const std::string& cache_directory, uint64_t blob_id) {
  return cache_directory + "/" + std::to_string(blob_id) + std::string(kCacheSuffix);
}

// Asked before a device is given the file: afterwards it would be too late for its readers.
absl::Status CheckDirectReads(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (fd.valid()) return absl::OkStatus();
  if (errno == EINVAL) return FailedPrecondition(path + " cannot be read directly");
  return ErrnoError(errno, "open " + path);
}

struct StaleLoop {
  LoopBacking loop;
  FusePath file;
};

// Loop devices on connections beside `fuse_directory`: those that were lost.
absl::StatusOr<std::vector<StaleLoop>> FindStaleLoops(const std::string& fuse_directory) {
  ASSIGN_OR_RETURN(const std::vector<LoopBacking> loops, ListLoopDevices());
  std::vector<StaleLoop> stale;
  for (const LoopBacking& loop : loops) {
    FusePath file;
    if (ParseFusePath(ParentOf(fuse_directory), loop.backing_path, &file) &&
        file.connection != fuse_directory) {
      stale.push_back({loop, file});
    }
  }
  return stale;
}

absl::Status Revive(const StaleLoop& stale, const std::string& fuse_directory) {
  const absl::Status changed = ChangeBackingFile(
      stale.loop, FileOf(fuse_directory, stale.file.blob_id), LoopDevice::DirectIo::kRequired);
  return absl::IsAborted(changed) ? absl::OkStatus() : changed;  // nobody reads it any more
}

// Whether the uppermost mount there is this tree.
absl::StatusOr<bool> IsMounted(const TreeSpec& tree) {
  ASSIGN_OR_RETURN(const std::string mount_path, Canonical(tree.mount_path));
  ASSIGN_OR_RETURN(const std::string metadata_path, Canonical(tree.metadata_path));
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  const auto top = std::find_if(mounts.rbegin(), mounts.rend(), [&](const MountEntry& mount) {
    return mount.mount_point == mount_path;
  });
  if (top == mounts.rend() || top->fs_type != "erofs" || top->major != kLoopMajor) return false;
  ASSIGN_OR_RETURN(const std::vector<LoopBacking> loops, ListLoopDevices());
  return std::any_of(loops.begin(), loops.end(), [&](const LoopBacking& loop) {
    return loop.number == top->minor && loop.backing_path == metadata_path;
  });
}

// Gives the tree's blobs the living connection where they have a lost one. Devices of other trees
// with the same blobs are in the same need.
absl::Status ReviveBlobs(const Request& request) {
  ASSIGN_OR_RETURN(const std::vector<StaleLoop> stale, FindStaleLoops(request.fuse_directory));
  std::set<uint64_t> wanted;
  for (const BlobRef& blob : request.tree.blobs) wanted.insert(blob.id);
  for (const StaleLoop& loop : stale) {
    if (!wanted.contains(loop.file.blob_id)) continue;
    RETURN_IF_ERROR(Revive(loop, request.fuse_directory));
  }
  return absl::OkStatus();
}

// On the blob's cache file if that is wanted and can be done; says whether it is.
absl::StatusOr<LoopDevice> AttachBlob(const Request& request, const BlobRef& blob, bool* local) {
  *local = blob.file == BlobFile::kCache;
  if (*local) {
    const std::string path = CacheOf(request.cache_directory, blob.id);
    if (CheckDirectReads(path).ok()) {
      absl::StatusOr<LoopDevice> device = LoopDevice::Attach(path, LoopDevice::DirectIo::kRequired);
      if (device.ok()) return device;
    }
    *local = false;  // the FUSE file does the same, in more steps
  }
  return LoopDevice::Attach(FileOf(request.fuse_directory, blob.id),
                            LoopDevice::DirectIo::kRequired);
}

absl::Status MountTree(const Request& request) {
  SLACKER_FAILPOINT("attach.begin");
  std::vector<LoopDevice> devices;
  std::vector<std::string> paths;
  bool all_local = true;
  for (const BlobRef& blob : request.tree.blobs) {
    bool local = false;
    ASSIGN_OR_RETURN(LoopDevice device, AttachBlob(request, blob, &local));
    all_local = all_local && local;
    paths.push_back(device.path());
    devices.push_back(std::move(device));
  }
  ASSIGN_OR_RETURN(const LoopDevice primary, LoopDevice::Attach(request.tree.metadata_path,
                                                                LoopDevice::DirectIo::kPreferred));
  RETURN_IF_ERROR(SetReadAhead(primary.number(),
                               all_local ? request.local_read_ahead_kib : request.read_ahead_kib));
  SLACKER_FAILPOINT("attach.devices_ready");
  RETURN_IF_ERROR(MountErofs(primary.path(), paths, request.tree.mount_path));
  // EROFS asks for its metadata page by page, and waits for each.
  primary.ReadInAdvance(kMetadataInAdvance);
  return absl::OkStatus();
}

absl::Status Attach(const Request& request) {
  ASSIGN_OR_RETURN(const bool mounted, IsMounted(request.tree));
  if (mounted && ReviveBlobs(request).ok()) return absl::OkStatus();
  // Something else, or a tree that cannot be revived: new containers get a new one.
  RETURN_IF_ERROR(UnmountAll(request.tree.mount_path));
  return MountTree(request);
}

// Names in a directory; none of them is looked at.
absl::StatusOr<std::vector<std::string>> ListNames(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (directory == nullptr) return ErrnoError(errno, "open " + path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

absl::Status Heal(const std::string& fuse_directory) {
  ASSIGN_OR_RETURN(const std::vector<StaleLoop> stale, FindStaleLoops(fuse_directory));
  absl::Status result;
  std::set<std::string> in_use{fuse_directory};
  for (const StaleLoop& loop : stale) {
    absl::Status status = Revive(loop, fuse_directory);
    if (status.ok()) continue;
    in_use.insert(loop.file.connection);
    result.Update(status);
  }
  SLACKER_FAILPOINT("attach.healed");
  const std::string parent = ParentOf(fuse_directory);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListNames(parent));
  for (const std::string& name : names) {
    const std::string path = parent + "/" + name;
    if (in_use.contains(path)) continue;
    result.Update(UnmountAll(path));
    if (rmdir(path.c_str()) != 0) result.Update(ErrnoError(errno, "rmdir " + path));
  }
  return result;
}

// Which file of the blob a loop device is on; false: on none of this root's.
bool FileUnder(const Request& request, const LoopBacking& loop, uint64_t blob_id, BlobFile* file) {
  FusePath fuse;
  if (ParseFusePath(ParentOf(request.fuse_directory), loop.backing_path, &fuse)) {
    *file = BlobFile::kFuse;
    return fuse.blob_id == blob_id;
  }
  uint64_t cached = 0;
  *file = BlobFile::kCache;
  return ParseCachePath(request.cache_directory, loop.backing_path, &cached) && cached == blob_id;
}

absl::Status SwitchOne(const LoopBacking& loop, const std::string& from, const std::string& to) {
  const absl::Status changed = ChangeBackingFile(loop, to, LoopDevice::DirectIo::kRequired);
  if (absl::IsAborted(changed)) return absl::OkStatus();  // nobody reads it any more
  if (!absl::IsFailedPrecondition(changed)) return changed;
  // It is on the new file, but buffered: a short read would come out as zeros on older kernels.
  RETURN_IF_ERROR(ChangeBackingFile({loop.number, to}, from, LoopDevice::DirectIo::kRequired));
  return changed;
}

absl::Status Switch(const Request& request) {
  if (request.tree.blobs.size() != 1 || request.cache_directory.empty()) {
    return Internal("attach helper: one blob with a cache is switched at a time");
  }
  const BlobRef& blob = request.tree.blobs.front();
  const std::string fuse = FileOf(request.fuse_directory, blob.id);
  const std::string cache = CacheOf(request.cache_directory, blob.id);
  const bool to_cache = blob.file == BlobFile::kCache;
  if (to_cache) RETURN_IF_ERROR(CheckDirectReads(cache));
  SLACKER_FAILPOINT("switch.begin");
  ASSIGN_OR_RETURN(const std::vector<LoopBacking> loops, ListLoopDevices());
  for (const LoopBacking& loop : loops) {
    BlobFile on = BlobFile::kFuse;
    if (!FileUnder(request, loop, blob.id, &on) || on == blob.file) continue;
    RETURN_IF_ERROR(SwitchOne(loop, to_cache ? fuse : cache, to_cache ? cache : fuse));
    SLACKER_FAILPOINT("switch.one");
  }
  SLACKER_FAILPOINT("switch.end");
  return absl::OkStatus();
}

}  // namespace

bool ParseFusePath(const std::string& parent, const std::string& path, FusePath* parsed) {
  const std::string connection = ParentOf(path);
  if (ParentOf(connection) != parent) return false;
  const char* begin = path.data() + connection.size() + 1;
  const char* end = path.data() + path.size();
  const auto [stop, error] = std::from_chars(begin, end, parsed->blob_id);
  parsed->connection = connection;
  return error == std::errc() && stop == end;
}

bool ParseCachePath(const std::string& directory, const std::string& path, uint64_t* blob_id) {
  if (directory.empty() || ParentOf(path) != directory || !path.ends_with(kCacheSuffix)) {
    return false;
  }
  const char* begin = path.data() + directory.size() + 1;
  const char* end = path.data() + path.size() - kCacheSuffix.size();
  const auto [stop, error] = std::from_chars(begin, end, *blob_id);
  return error == std::errc() && stop == end;
}

// A mount point is on another device than the directory that it is in.
bool IsMountPoint(const std::string& path) {
  struct stat self {
  }, parent{};
  return stat(path.c_str(), &self) == 0 && stat((path + "/..").c_str(), &parent) == 0 &&
         self.st_dev != parent.st_dev;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

absl::Status Perform(const Request& request) {
  switch (request.verb) {
    case Verb::kAttach:
      return Attach(request);
    case Verb::kDetach:
      return UnmountAll(request.tree.mount_path);
    case Verb::kHeal:
      return Heal(request.fuse_directory);
    case Verb::kSwitch:
      return Switch(request);
    case Verb::kReadInAdvance:
      return ReadInAdvance(request.tree.mount_path, request.ranges);
  }
  return Internal("attach helper: unknown verb");
}

}  // namespace slacker::attach
