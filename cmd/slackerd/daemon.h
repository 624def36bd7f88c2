// Everything that slackerd is made of, in the order in which it stands on one another: keeper and
// lock, database, store, blob caches, FUSE connection, tree mounter, images, snapshots. Thread-safe
// after Open.
#pragma once

#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/store/replicas.h"
#include "cmd/slackerd/auto_publisher.h"
#include "cmd/slackerd/config.h"
#include "snapshotter/attach/kernel_tree_mounter.h"
#include "snapshotter/care/cache_space.h"
#include "snapshotter/care/completer.h"
#include "snapshotter/care/evictor.h"
#include "snapshotter/care/layer_prover.h"
#include "snapshotter/care/processor_watch.h"
#include "snapshotter/care/scrubber.h"
#include "snapshotter/core/core_snapshotter.h"
#include "snapshotter/gateway/lease_keeper.h"
#include "snapshotter/gateway/request_writer.h"
#include "snapshotter/images/image_manager.h"
#include "snapshotter/keeper/keeper_client.h"
#include "snapshotter/node_control.h"

namespace slacker {

class Daemon final : public NodeControl {
 public:
  // Becomes the owner of config.root (FAILED_PRECONDITION when another daemon is, or PrepareRoot refuses
  // it), takes over what a predecessor left attached, and begins to clean up behind it. What is wrong with
  // the configuration is an error before anything is made. Waits for no store.
  static absl::StatusOr<std::unique_ptr<Daemon>> Open(const Config& config);
  // Stops, and waits for what is still with the store.
  ~Daemon() override;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // A clean stop, also of what a start that failed began: with nothing attached, the FUSE connection
  // and the keeper end too; otherwise both stay for the successor. Leaves nothing to do but to wait
  // for threads that ask the store. Only the first call does anything.
  // REQUIRES: no call of snapshotter() is under way, and none comes.
  void Stop();

  Snapshotter& snapshotter() { return *snapshotter_; }
  NodeStatus Status() override;
  absl::Status Scrub(const std::vector<Digest>& chains,
                     const std::function<void(const ScrubbedLayer&)>& told,
                     const std::function<bool()>& cancelled) override;

  // One INFO line with every counter: what came from the store, what was served.
  void LogCounters() const;

 private:
  Daemon() = default;
  std::vector<std::pair<std::string, uint64_t>> Counters() const;
  absl::StatusOr<std::vector<BlobRow>> BlobsOf(const std::vector<Digest>& chains);
  absl::Status OpenStore(const Config& config);
  absl::Status OpenReplicas(const Config& config);
  absl::Status OpenFiller(const Config& config);
  void LookForStore();
  absl::Status OpenAutoPublisher(const Config& config);
  void Decided(const PathDecision& decision);
  absl::Status OpenImages(const Config& config);
  void StartCare(const Config& config);
  bool OthersAreBusy();
  void EndKeeperWithoutFuse();

  bool stopped_ = false;
  std::string root_;
  int64_t started_unix_seconds_ = 0;
  std::unique_ptr<KeeperClient> keeper_;
  std::unique_ptr<Db> db_;
  std::vector<std::shared_ptr<ReadBackend>> places_;  // of the store; empty: no store
  std::shared_ptr<ReadBackend> backend_;              // null: no store; shared by filler and images
  std::shared_ptr<Replicas> replicas_;  // what backend_ is, if the store is in several places
  Trust trust_;
  std::unique_ptr<RequestWriter> requests_;   // null: nothing is requested
  std::unique_ptr<AutoPublisher> publisher_;  // null: nothing is published by itself
  ProcessorWatch processors_{
      {.clock = &SystemClock(), .processors = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))}};
  std::unique_ptr<StartTraces> traces_;
  std::unique_ptr<BlobFiller> filler_;
  std::unique_ptr<LayerProver> prover_;  // null: no store
  std::unique_ptr<FuseConnection> connection_;
  std::unique_ptr<KernelTreeMounter> mounter_;
  std::unique_ptr<ImageManager> images_;
  std::unique_ptr<CacheSpace> space_;
  std::unique_ptr<Completer> completer_;  // null: off
  std::unique_ptr<Evictor> evictor_;
  std::unique_ptr<Scrubber> scrubber_;
  std::unique_ptr<CoreSnapshotter> snapshotter_;
  std::unique_ptr<LeaseKeeper> lease_;  // null: no store
  std::thread cleanup_;                 // what a crash left; nobody waits for it
};

}  // namespace slacker
