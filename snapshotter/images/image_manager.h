// Images (snapshotter/images/images.h) over the store, the node's directories and the kernel.
//
// On the node, below the root: records/ (RecordFiles), images/ (MetadataImages), blobs/
// (BlobFiller) and snapshots/i<id>/fs, where the tree of image <id> is mounted. The database says
// which of them are wanted; the rest goes at Start and in Collect.
//
// The filler is made first, because the FUSE connection serves it and the mounter needs the
// connection; the manager stands on all three.
//
// Threads: those of the gateway and the build queue, a few for what is asked of the store in advance
// (whole images, where chunks are), and one for what else nobody waits for. No lock is held over the
// store or the mounter. Thread-safe after Start.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "backend/base/random.h"
#include "backend/base/thread_pool.h"
#include "snapshotter/attach/tree_mounter.h"
#include "snapshotter/boot/boot_stream.h"
#include "snapshotter/boot/start_traces.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/gateway/store_gateway.h"
#include "snapshotter/images/build_queue.h"
#include "snapshotter/images/images.h"
#include "snapshotter/images/metadata_image.h"
#include "snapshotter/images/pull_hints.h"
#include "snapshotter/images/references.h"
#include "snapshotter/images/whole_images.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/warm/tree_warmer.h"

namespace slacker {

class ImageManager final : public Images {
 public:
  struct Options {
    std::string root;
    // All of these outlive the manager.
    Db* db = nullptr;
    const Clock* clock = nullptr;
    BlobFiller* filler = nullptr;
    TreeMounter* mounter = nullptr;
    StartTraces* traces = nullptr;  // may be null: no start is watched
    // Null: no store; every Ensure of an image that is not present is NOT_FOUND. Shared with the
    // filler.
    std::shared_ptr<ReadBackend> backend;
    StoreGateway::Options gateway;
    // Private images are run for those whose `cri.image-ref` names a repository that may have them.
    // Only where containerd itself sets that label, for every puller.
    bool private_by_cri_annotations = false;
    // Of the images that are run here.
    Platform platform;
    // Random numbers.
    std::function<uint64_t()> draw = RandomNumber;
    // How long a build in advance waits for the next layer of its pull to call it off.
    std::chrono::nanoseconds build_delay = std::chrono::milliseconds(20);
  };

  // What the store was asked for by Ensure, as stored.
  struct Transfers {
    uint64_t store_requests = 0, store_bytes = 0;
  };

  // Creates the directories that are missing.
  static absl::StatusOr<std::unique_ptr<ImageManager>> Open(Options options);
  ~ImageManager() override;

  // Removes what a crash left on the disk and unmounts trees of images that are gone; in the
  // background, gives trees that are still mounted to the mounter again, which connects those that
  // lost their FUSE. Asks no store. Call once, before anything else.
  absl::Status Start();
  // Ends what is done in the background; nothing may be called after it. Only questions that a store
  // keeps may still be under way then: the destructor waits for those.
  void Stop();

  absl::StatusOr<ImagePin> Ensure(const Digest& chain_id, const Labels& labels) override;
  absl::Status CheckAllowed(const Digest& chain_id, const Labels& labels) override;
  absl::StatusOr<std::string> Attach(const Digest& chain_id) override;
  absl::StatusOr<SnapshotUsage> Usage(const Digest& chain_id) override;
  absl::Status Collect() override;

  // Asks the store, within the budget, where the chunks of a layer are: OK when it says so. The
  // errors of StoreGateway.
  absl::Status AskForChunks(const Digest& record, size_t chunks);

  Transfers Stats() const { return {transfers_->requests, transfers_->bytes}; }
  // How often somebody has asked for a tree: containers that start.
  uint64_t AttachCalls() const { return attach_calls_; }
  // How pulls get on with the store.
  StoreGateway::Report DescribeGateway() const { return gateway_.Describe(); }
  BootStats BootPackStats() const { return boots_->Stats(); }
  TreeWarmer::Stats WarmingStats() const { return warmer_.GetStats(); }
  BuildQueue& builds_for_test() { return *builds_; }
  BootStreams& boots_for_test() { return *boots_; }
  // Waits until what was begun in the background so far is done.
  void WaitForBackgroundForTest();

 private:
  // What of a record is worth remembering once it was verified.
  struct RecordFacts {
    Digest diff_id;
    uint64_t blob_size_bytes = 0;
    size_t chunks = 0;
  };
  struct KnownImage {
    ImageRow row;
    std::vector<BlobRow> layers;
  };
  // Waiting is cut into slices, so that a clock that is not the system's is looked at too.
  static constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(10);

  struct Flight;       // an Ensure under way, for those who want the same
  struct RecordsHeld;  // holds records for the life of a scope
  class Claim;
  struct Tree {
    bool busy = false;  // the mounter is at it
    bool attached = false;
  };

  explicit ImageManager(Options options);

  ImagePin Pinned(const Digest& chain_id);
  // None: it is being collected, which may take as long as an unmount.
  std::optional<ImagePin> TryPinned(const Digest& chain_id);
  // Null: not present.
  absl::StatusOr<std::unique_ptr<KnownImage>> FindKnown(const Digest& chain_id);
  // The repository that containerd vouches for; "" = nobody does.
  std::string RepositoryOf(const PullHints& hints) const;
  absl::Status Allow(const Digest& chain_id, const std::string& repository,
                     StoreGateway::TimePoint deadline);
  absl::Status MakePresent(const Digest& chain_id, const PullHints& hints,
                           StoreGateway::TimePoint deadline);
  // MakePresent for an image of which nothing is known.
  absl::Status AskForImage(const Digest& chain_id, const std::string& repository,
                           const PullHints& hints, StoreGateway::TimePoint deadline);
  // Has the image of a name brought in the background, with what its start needs, if it is the one
  // that is pulled and stands on `prefix`: containerd asks for one layer after the other, and nobody
  // waits for all of it yet. What fails is what its own Ensure will meet.
  void FollowName(StoreGateway::NamedImage named, const Manifest& prefix,
                  const std::string& repository, const Digest& pull,
                  StoreGateway::TimePoint deadline);
  absl::Status BringWhole(const StoreReader::GrantedManifest& granted,
                          StoreGateway::TimePoint deadline);
  absl::Status BringGranted(const StoreReader::GrantedManifest& granted,
                            const StoreGateway::Limit& limit);
  // `make`, unless another thread is at the same chain: then its outcome, once it is there. That one
  // had less time than this has, or failed at what it did only in advance, does not count.
  absl::Status Once(const Digest& chain_id, const StoreGateway::Limit& limit,
                    const std::function<absl::Status()>& make);
  absl::Status BringImage(const KnownImage& image, const StoreGateway::Limit& limit);
  absl::Status AddImage(const Manifest& manifest, bool to_anybody,
                        const StoreGateway::Limit& limit);
  template <typename Layers>
  void CallOffParent(const Layers& layers);
  // Verified records, those that the node lacks fetched and durable; parallel to `records`. Each is
  // kept as it comes: from the chain's boot pack if that brings it in time, else one by one. What
  // another call is fetching is waited for.
  absl::StatusOr<std::vector<RecordFacts>> BringRecords(const Digest& chain_id,
                                                        const std::vector<Digest>& records,
                                                        const StoreGateway::Limit& limit);
  absl::Status KeepRecord(const Digest& record, RecordObject object);
  // Those that are missing; `facts` of the others, parallel to `records`.
  std::vector<Digest> VerifyAllKept(const std::vector<Digest>& records,
                                    std::vector<RecordFacts>* facts);
  absl::Status AwaitRecord(const Digest& record, StoreGateway::TimePoint deadline);
  void StreamBootPack(const Digest& chain_id);
  bool VerifyKept(const Digest& record, RecordFacts* facts);
  void ForgetFacts(const std::vector<BlobRow>& layers);
  void FetchLocations(const Digest& chain_id);

  void RunInBackground(std::function<void()> task);
  bool IsStopping();
  // In the background as well: what waits for the store, on one of the pools for that.
  void AskInAdvance(ThreadPool& pool, std::function<void()> task);
  absl::StatusOr<MetadataImage> FindOrBuild(const Digest& chain_id);
  // Says which files the windows of the chain's boot pack are of.
  void PlanWarming(const Digest& chain_id, const std::vector<const Layer*>& layers);
  void AttachAhead(const Digest& chain_id);
  absl::StatusOr<std::string> AttachPinned(const Digest& chain_id, bool asked_for);
  absl::Status AttachTree(const KnownImage& image);
  bool TakeTree(uint64_t image_id);
  void ForgetTree(uint64_t image_id);
  void PutTree(uint64_t image_id, bool attached);

  absl::Status CollectImage(const ImageRow& image);
  absl::Status CollectBlobs();
  absl::Status CollectRecords();
  absl::Status RemoveTree(uint64_t image_id);
  absl::Status RemoveStrayTrees(const std::vector<ImageRow>& images);
  void AttachMountedAgain(const std::vector<ImageRow>& images);
  void ResumeBootPacks(const std::vector<ImageRow>& images);

  const Options options_;
  RecordFiles& records_;
  const MetadataImages metadata_;
  std::atomic<uint64_t> attach_calls_ = 0;
  const std::shared_ptr<TransferCounters> transfers_;  // with the backend's callbacks
  const std::shared_ptr<References> references_;       // with every pin
  StoreGateway gateway_;
  WholeImages wholes_;

  Mutex mutex_;
  CondVar changed_;
  bool collecting_ ABSL_GUARDED_BY(mutex_) = false;
  size_t attaching_unasked_ ABSL_GUARDED_BY(mutex_) = 0;  // images, in the background
  size_t asking_in_advance_ ABSL_GUARDED_BY(mutex_) = 0;  // tasks
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<Digest, RecordFacts> facts_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<Digest, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mutex_);
  std::set<Digest> fetching_ ABSL_GUARDED_BY(mutex_);  // records, by whoever has claimed them
  std::unordered_map<uint64_t, Tree> trees_ ABSL_GUARDED_BY(mutex_);
  std::set<Digest> attached_ahead_ ABSL_GUARDED_BY(mutex_);  // and not asked for since

  TreeWarmer warmer_;
  std::unique_ptr<BuildQueue> builds_;
  std::unique_ptr<BootStreams> boots_;
  // Last: their tasks use all of the above.
  std::unique_ptr<ThreadPool> bringing_;  // whole images
  std::unique_ptr<ThreadPool> locating_;  // chunks
  std::unique_ptr<ThreadPool> background_;
};

}  // namespace slacker
