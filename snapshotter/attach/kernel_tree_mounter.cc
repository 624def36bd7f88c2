#include "snapshotter/attach/kernel_tree_mounter.h"

#include <sys/stat.h>

#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/os/loop_device.h"
#include "snapshotter/attach/tree_operations.h"

namespace slacker {
namespace {

using attach::FusePath;
using attach::ParentOf;
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
  ASSIGN_OR_RETURN(mounter->helper_, attach::HelperClient::Open(options.helper_path,
                                                                run_dir + "/attach.lock", keeper));
  attach::Request request;
  request.verb = Verb::kHeal;
  request.fuse_directory = connection->directory();
  if (const absl::Status status = mounter->helper_->Call(std::move(request)); !status.ok()) {
    Log(LogLevel::kWarning, "a lost FUSE connection is still in use, ignoring",
        {{"error", Message(status)}});
  }
  return mounter;
}

absl::Status KernelTreeMounter::Attach(const TreeSpec& spec) {
  if (!connection_->alive()) return Unavailable("the FUSE connection was aborted");
  attach::Request request;
  request.verb = Verb::kAttach;
  request.fuse_directory = connection_->directory();
  request.read_ahead_kib = options_.read_ahead_kib;
  request.tree = spec;
  return AsMounterError(helper_->Call(std::move(request)));
}

// A mount point is on another device than the directory that it is in.
bool KernelTreeMounter::IsMounted(const std::string& mount_path) {
  struct stat self {
  }, parent{};
  return stat(mount_path.c_str(), &self) == 0 && stat((mount_path + "/..").c_str(), &parent) == 0 &&
         self.st_dev != parent.st_dev;
}

absl::Status KernelTreeMounter::Detach(const std::string& mount_path) {
  attach::Request request;
  request.verb = Verb::kDetach;
  request.tree.mount_path = mount_path;
  return AsMounterError(helper_->Call(std::move(request)));
}

absl::StatusOr<std::set<uint64_t>> KernelTreeMounter::BlobsInUse() {
  ASSIGN_OR_RETURN(const std::vector<LoopBacking> loops, ListLoopDevices());
  std::set<uint64_t> blobs;
  for (const LoopBacking& loop : loops) {
    FusePath file;
    if (ParseFusePath(ParentOf(connection_->directory()), loop.backing_path, &file)) {
      blobs.insert(file.blob_id);
    }
  }
  return blobs;
}

absl::StatusOr<bool> KernelTreeMounter::EndIfIdle() {
  ASSIGN_OR_RETURN(const std::set<uint64_t> blobs, BlobsInUse());
  if (!blobs.empty()) return false;
  RETURN_IF_ERROR(Detach(connection_->directory()));
  RETURN_IF_ERROR(keeper_->Bye());
  return true;
}

}  // namespace slacker
