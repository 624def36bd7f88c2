// The FUSE connection of a root: made once, kept by the keeper while slackerds come and go.
//
// It is mounted at <run_dir>/fuse/<n>, where n grows with every connection of a boot. A lost
// connection stays mounted at its own place until no loop device has a file of it
// (KernelTreeMounter sees to that): so the path of a loop device's backing file always tells
// connection and blob.
//
// This process never opens or looks up anything below that directory, see FuseServer.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/fuse/blob_source.h"
#include "snapshotter/fuse/fuse_server.h"
#include "snapshotter/keeper/keeper_client.h"

namespace slacker {

// Thread-safe.
class FuseConnection {
 public:
  struct Options {
    std::string run_dir;  // of the root, see RootRunDir
    int threads = 2;      // that read requests; the work is the BlobSource's
  };

  // Takes the connection over from the keeper if that has a living one whose unanswered requests
  // the kernel sends again (Linux 6.9), otherwise mounts a new one and gives it to the keeper; what
  // the keeper has of others is closed, which answers their readers with errors. Serves `source`
  // from the moment it returns. Milliseconds.
  static absl::StatusOr<std::unique_ptr<FuseConnection>> Open(const Options& options,
                                                              KeeperClient* keeper,
                                                              BlobSource* source);
  // Stops serving; readers wait for the successor.
  ~FuseConnection();
  FuseConnection(const FuseConnection&) = delete;
  FuseConnection& operator=(const FuseConnection&) = delete;

  // Where it is mounted, canonical.
  const std::string& directory() const { return directory_; }
  // Whether it was taken over from a predecessor.
  bool adopted() const { return adopted_; }
  // False when somebody aborted it (/sys/fs/fuse/connections): nothing can be attached until the
  // next start.
  bool alive() const { return server_->alive(); }
  // Whether the kernel sends unanswered requests again (Linux 6.9): whoever takes over needs it.
  bool kernel_resends() const { return adopted_ || server_->counters().kernel_resends; }
  FuseCounters counters() const { return server_->counters(); }

 private:
  FuseConnection() = default;
  absl::Status Adopt(const std::string& parent, KeeperClient* keeper, UniqueFd* device);
  absl::Status Create(const std::string& parent, KeeperClient* keeper, UniqueFd* device);
  void ResendWhenGone(UniqueFd process);

  std::string directory_;
  bool adopted_ = false;
  UniqueFd stop_;
  std::unique_ptr<FuseServer> server_;
  std::thread late_resend_;
};

}  // namespace slacker
