// An image mounted for a person: read-only, its content fetched as it is read, by what slackerd
// uses for the same (blob caches, FUSE connection, attach helper, keeper), on a root of its own
// that goes with the mount. Needs no slackerd, knows of none, and may run beside one.
//
//   <state_dir>/mount-<random>/   records, metadata image, blob caches, database, and the file
//                                 slackerctl-mount, by which it is known to be one of ours
//   <run_dir>/<hash of that path>/   keeper's socket, FUSE mount
//
// While a process lives it serves. When it is killed, the keeper, whose deadline is a second, lets
// go of the FUSE connection: what is not in the page cache then reads as EIO, never as wrong bytes.
// What is left (the mount, its root) is taken away by RemoveLeftovers.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"
#include "snapshotter/attach/kernel_tree_mounter.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/gateway/lease_keeper.h"
#include "snapshotter/keeper/keeper_client.h"
#include "snapshotter/metastore/db.h"

namespace slacker::ctl {

// Directories may be relative, and lead through links.
struct MountOptions {
  std::string directory;  // where: existing, empty of mounts
  std::string state_dir = "/var/lib/slacker/mounts";
  std::string run_dir = "/run/slacker";
  std::string programs;  // directory of slackerd-keeper and slackerd-attach
  // A read waits so long for the store before it is EIO.
  std::chrono::nanoseconds stall_timeout{};
  ReadObserver* observer = nullptr;  // of what is read of its blobs; outlives the mount
  // The store, for writing: it is told that the image is in use. Null: it cannot be.
  std::function<absl::StatusOr<std::shared_ptr<Backend>>()> open_for_lease = nullptr;
};

// Thread-compatible.
class LazyMount {
 public:
  // Brings manifest and records, and mounts. `backend` is the reader's. FAILED_PRECONDITION: not
  // root, or something is mounted on the directory already; INVALID_ARGUMENT: it is none; else as
  // StoreReader and TreeMounter.
  static absl::StatusOr<std::unique_ptr<LazyMount>> Open(const MountOptions& options,
                                                         std::shared_ptr<ReadBackend> backend,
                                                         const StoreReader& reader,
                                                         const Digest& chain_id);
  // As Close, and Abandon where that leaves something.
  ~LazyMount();
  LazyMount(const LazyMount&) = delete;
  LazyMount& operator=(const LazyMount&) = delete;

  // How often RenewLease has to be called.
  static constexpr std::chrono::hours kLeaseRenewal = LeaseKeeper::kRenewal;
  // Tells the store that it must not remove what is mounted (ADR 0015): OK if it knows, and where it is
  // not to be told. Open has told it already, and Close takes that back.
  absl::Status RenewLease();

  // Bottom first.
  const std::vector<BlobRow>& layers() const { return layers_; }
  // Whether the directory still is a mount point: anybody may unmount it.
  bool IsMounted() { return mounter_->IsMounted(options_.directory); }
  // Unmounts. True when nothing is left; false while processes still have files open in the tree
  // (they are still served): call again later.
  absl::StatusOr<bool> Close();
  // Ends although files are open: reading them fails from now on.
  absl::Status Abandon();

 private:
  explicit LazyMount(MountOptions options) : options_(std::move(options)) {}
  absl::Status MakeRoot();
  absl::Status Serve(std::shared_ptr<ReadBackend> backend);
  absl::Status Mount(const StoreReader& reader, const Digest& chain_id);
  // Fetches the records; parallel to the manifest's layers.
  absl::StatusOr<std::vector<BlobRow>> AddImage(const StoreReader& reader, const Manifest& manifest,
                                                uint64_t* image_id);
  void EndLease();

  const MountOptions options_;
  std::string root_;
  std::string run_dir_;  // of the root
  bool closed_ = false;
  std::vector<BlobRow> layers_;
  std::shared_ptr<ReadBackend> backend_;
  std::unique_ptr<KeeperClient> keeper_;
  std::unique_ptr<Db> db_;
  std::unique_ptr<LeaseKeeper> lease_;  // null: none was to be had
  std::unique_ptr<BlobFiller> filler_;
  std::unique_ptr<FuseConnection> connection_;
  std::unique_ptr<KernelTreeMounter> mounter_;
};

// Unmounts and removes what mounts of processes that were killed have left below
// options.state_dir. Those of living processes are left alone, and so is, unopened, whatever else is
// in that directory. FAILED_PRECONDITION where something has been mounted below such a root.
absl::Status RemoveLeftovers(const MountOptions& options);

}  // namespace slacker::ctl
