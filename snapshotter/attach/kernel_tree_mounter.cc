#include "snapshotter/attach/kernel_tree_mounter.h"

#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/os/loop_device.h"
#include "backend/os/mount.h"
#include "snapshotter/attach/tree_operations.h"

namespace slacker {
namespace {

using attach::FusePath;
using attach::ParentOf;
using attach::ParseCachePath;
using attach::ParseFusePath;
using attach::Verb;

// The two codes of the interface.
absl::Status AsMounterError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnavailable:
      return status;
    case absl::StatusCode::kResourceExhausted:
      return Unavailable(Message(status));
    default:
      return Internal(Message(status));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelTreeMounter>> KernelTreeMounter::Open(
    const Options& options, FuseConnection* connection, KeeperClient* keeper) {
  std::unique_ptr<KernelTreeMounter> mounter(new KernelTreeMounter(options, connection, keeper));
  const std::string run_dir = ParentOf(ParentOf(connection->directory()));
  if (!options.cache_directory.empty()) {
    const std::unique_ptr<char, void (*)(void*)> canonical(
        realpath(options.cache_directory.c_str(), nullptr), free);
    if (canonical == nullptr) return ErrnoError(errno, "realpath " + options.cache_directory);
    mounter->options_.cache_directory = canonical.get();  // as sysfs will show it
  }
  ASSIGN_OR_RETURN(mounter->helper_, attach::HelperClient::Open(options.helper_path,
                                                                run_dir + "/attach.lock", keeper));
  if (const absl::Status status = mounter->helper_->Call(mounter->NewRequest(Verb::kHeal));
      !status.ok()) {
    Log(LogLevel::kWarning, "a lost FUSE connection is still in use, ignoring",
        {{"error", Message(status)}});
  }
  return mounter;
}

attach::Request KernelTreeMounter::NewRequest(Verb verb) const {
  attach::Request request;
  request.verb = verb;
  request.fuse_directory = connection_->directory();
  request.cache_directory = options_.cache_directory;
  request.read_ahead_kib = options_.read_ahead_kib;
  request.local_read_ahead_kib = options_.local_read_ahead_kib;
  return request;
}

absl::Status KernelTreeMounter::Attach(const TreeSpec& spec) {
  if (!connection_->alive()) return Unavailable("the FUSE connection was aborted");
  attach::Request request = NewRequest(Verb::kAttach);
  request.tree = spec;
  return AsMounterError(helper_->Call(std::move(request)));
}

bool KernelTreeMounter::IsMounted(const std::string& mount_path) {
  return attach::IsMountPoint(mount_path);
}

absl::Status KernelTreeMounter::Detach(const std::string& mount_path) {
  attach::Request request = NewRequest(Verb::kDetach);
  request.tree.mount_path = mount_path;
  return AsMounterError(helper_->Call(std::move(request)));
}

absl::StatusOr<BlobsInUse> KernelTreeMounter::FindBlobsInUse() {
  ASSIGN_OR_RETURN(const std::vector<LoopBacking> loops, ListLoopDevices());
  BlobsInUse blobs;
  for (const LoopBacking& loop : loops) {
    FusePath file;
    uint64_t cached = 0;
    if (ParseFusePath(ParentOf(connection_->directory()), loop.backing_path, &file)) {
      blobs.on_fuse.insert(file.blob_id);
    } else if (ParseCachePath(options_.cache_directory, loop.backing_path, &cached)) {
      blobs.on_cache.insert(cached);
    }
  }
  return blobs;
}

absl::Status KernelTreeMounter::Switch(const BlobRef& blob) {
  if (!connection_->alive() && blob.file == BlobFile::kFuse) {
    return Unavailable("the FUSE connection was aborted");
  }
  attach::Request request = NewRequest(Verb::kSwitch);
  request.tree.blobs.push_back(blob);
  absl::Status switched = helper_->Call(std::move(request));
  return absl::IsFailedPrecondition(switched) ? switched : AsMounterError(switched);
}

void KernelTreeMounter::ReadInAdvance(const std::string& mount_path,
                                      std::span<const FileRange> ranges) {
  while (!ranges.empty()) {
    attach::Request request = NewRequest(Verb::kReadInAdvance);
    request.tree.mount_path = mount_path;
    size_t path_bytes = 0;
    while (!ranges.empty() && request.ranges.size() < attach::kMaxRanges &&
           (path_bytes += ranges.front().path.size()) <= attach::kMaxRangePathBytes) {
      request.ranges.push_back(ranges.front());
      ranges = ranges.subspan(1);
    }
    if (request.ranges.empty()) ranges = ranges.subspan(1);  // no path is so long
    helper_->Tell(std::move(request));
  }
}

absl::Status KernelTreeMounter::SetLocal(const std::string& mount_path, bool local) {
  const std::unique_ptr<char, void (*)(void*)> canonical(realpath(mount_path.c_str(), nullptr),
                                                         free);
  if (canonical == nullptr) return NotFound(mount_path + " is not there");
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (mount->mount_point != canonical.get() || mount->fs_type != "erofs") continue;
    return SetReadAhead(mount->minor,
                        local ? options_.local_read_ahead_kib : options_.read_ahead_kib);
  }
  return NotFound("nothing is mounted at " + mount_path);
}

absl::StatusOr<bool> KernelTreeMounter::EndIfIdle() {
  ASSIGN_OR_RETURN(const BlobsInUse blobs, FindBlobsInUse());
  if (!blobs.on_fuse.empty()) return false;
  RETURN_IF_ERROR(Detach(connection_->directory()));
  RETURN_IF_ERROR(keeper_->Bye());
  return true;
}

}  // namespace slacker
