// The FUSE connection of a root: made once, kept by the keeper while slackerds come and go.
//
// It is mounted at <run_dir>/fuse/<n>, where n grows with every connection of a boot. A lost
// connection stays mounted at its own place until no loop device has a file of it
// (KernelTreeMounter sees to that): so the path of a loop device's backing file always tells
// connection and blob.
//
// The keeper has /dev/fuse as "fuse.<n>", and the slots of every server that has not been taken over
// wholly as "slots1.<n>.<k>" (1: of their layout); where the kernel sends requests again these hold
// none, and only tell who may still be reading. Before its own are kept a server copies what those have
// left that have gone, and has them in the place of theirs: however many die at their start, the keeper
// has one, and one for each process that the kernel still holds.
//
// This process never opens or looks up anything below that directory, see FuseServer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/fuse/blob_source.h"
#include "snapshotter/fuse/fuse_server.h"
#include "snapshotter/keeper/keeper_client.h"

namespace slacker {

// Of the names at the keeper: with any of them, images may be attached.
inline constexpr std::string_view kFuseDevicePrefix = "fuse.";

// Thread-safe.
class FuseConnection {
 public:
  struct Options {
    std::string run_dir;  // of the root, see RootRunDir
    int threads = 2;      // that read requests; the work is the BlobSource's
  };

  // Takes the connection over from the keeper if that has a living one whose unanswered requests
  // can be had: the kernel sends them again (Linux 6.9), or the keeper has the slots that they were
  // read into. Otherwise mounts a new one and gives it to the keeper; what the keeper has of others
  // is closed, which answers their readers with errors. Serves `source` from the moment it returns.
  // Milliseconds.
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
  // Whether the kernel sends unanswered requests again (Linux 6.9); if not, they are kept in slots.
  bool kernel_resends() const { return kernel_resends_; }
  FuseCounters counters() const { return server_->counters(); }

 private:
  explicit FuseConnection(KeeperClient* keeper) : keeper_(keeper) {}
  // Slots of a server before.
  struct Left {
    UniqueFd memory;
    UniqueFd reader;  // a pidfd of who may still be reading into it; invalid: he has gone
  };
  using LeftSlots = std::map<std::string, Left>;  // as the keeper calls them

  absl::Status Adopt(const std::string& parent, const UniqueFd& predecessor, UniqueFd* device);
  absl::StatusOr<LeftSlots> GetSlots(const std::vector<std::string>& names, uint64_t connection,
                                     const UniqueFd& predecessor);
  absl::Status Create(const std::string& parent, UniqueFd* device);
  absl::StatusOr<std::unique_ptr<fuse::RequestSlots>> KeepSlots();
  absl::Status TakeOver(UniqueFd predecessor);
  absl::Status TakeSlotsOver();
  bool WaitForAnEnd(UniqueFd* predecessor);
  void FinishWhenGone(UniqueFd predecessor);

  KeeperClient* const keeper_;
  std::string directory_;
  uint64_t number_ = 0;
  bool adopted_ = false;
  bool kernel_resends_ = false;
  LeftSlots left_slots_;
  std::vector<size_t> gathered_;  // slots of ours with what was in theirs
  UniqueFd stop_;
  std::unique_ptr<FuseServer> server_;
  std::thread when_gone_;
};

}  // namespace slacker
