// TreeMounter on the kernel: EROFS on loop devices on the root's FUSE connection, by way of the
// attach helper. Nothing here waits for our own FUSE in this process.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "snapshotter/attach/fuse_connection.h"
#include "snapshotter/attach/helper_client.h"
#include "snapshotter/attach/tree_mounter.h"
#include "snapshotter/keeper/keeper_client.h"

namespace slacker {

// Thread-safe.
class KernelTreeMounter final : public TreeMounter {
 public:
  struct Options {
    std::string helper_path;           // the slackerd-attach program
    uint32_t read_ahead_kib = 16;      // of a tree's mount: small, because what is read is fetched
    std::string cache_directory = "";  // of the blob caches, "<blob>.data"; "" = on FUSE only
    uint32_t local_read_ahead_kib = 1024;  // of a tree whose blobs are on cache files
  };

  // Starts the helper. Loop devices that a lost connection left behind are given the new one at
  // once, so that running containers read again without waiting for an Attach; what fails there is
  // tried again by Attach. `connection` and `keeper` must outlive the mounter.
  static absl::StatusOr<std::unique_ptr<KernelTreeMounter>> Open(const Options& options,
                                                                 FuseConnection* connection,
                                                                 KeeperClient* keeper);

  absl::Status Attach(const TreeSpec& spec) override;
  bool IsMounted(const std::string& mount_path) override;
  absl::Status Detach(const std::string& mount_path) override;
  absl::StatusOr<BlobsInUse> FindBlobsInUse() override;
  absl::Status Switch(const BlobRef& blob) override;
  void ReadInAdvance(const std::string& mount_path, std::span<const FileRange> ranges) override;
  absl::Status SetLocal(const std::string& mount_path, bool local) override;

  // For a clean stop: when no loop device is on our FUSE any more, unmounts the connection and ends
  // the keeper: trees on cache files need neither. Returns whether it did; if not, everything stays for the next slackerd. Call last.
  absl::StatusOr<bool> EndIfIdle();

 private:
  KernelTreeMounter(const Options& options, FuseConnection* connection, KeeperClient* keeper)
      : options_(options), connection_(connection), keeper_(keeper) {}

  attach::Request NewRequest(attach::Verb verb) const;

  Options options_;  // not changed after Open
  FuseConnection* const connection_;
  KeeperClient* const keeper_;
  std::unique_ptr<attach::HelperClient> helper_;
};

}  // namespace slacker
