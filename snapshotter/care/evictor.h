// Keeps the blob caches within their limits (CacheSpace), by giving back what is missed least.
//
// Every `interval` it looks; beyond a limit it goes on in this order, as far as it has to:
//   1. images that no snapshot names any more: everything of theirs (Images::Collect);
//   2. blobs that no container stands on, whole, the least recently used first;
//   3. blobs that containers stand on: chunks that nobody has read since slackerd started, then the
//      others, the least recently read first. But nothing of a sealed cache: its containers were
//      promised to need nobody.
// Nothing of 2 and 3 that was read within `cold_after`, and nothing that the store would not give
// back: right before a blob loses anything, the store must have said where its chunks are.
//
// What 2 and 3 take, a container may want at any moment, and then gets it from the store: its reads
// go through our FUSE file, or are put there first (TreeMounter::Switch). When nothing more can be
// evicted and a limit is still crossed, fetched chunks are not cached until there is room.
//
// Also has what Collect had to leave removed, once the last loop device has let go of it.
//
// Threads: one, `slk-evict`, at the lowest priority. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "backend/base/mutex.h"
#include "snapshotter/attach/tree_mounter.h"
#include "snapshotter/care/cache_space.h"
#include "snapshotter/care/idle_watch.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

struct EvictionStats {
  uint64_t runs = 0;  // that gave something back
  uint64_t chunks = 0, bytes = 0;
};

// That the caches are over a limit, and nothing more can be evicted.
struct OverLimit {
  bool over = false;
  std::chrono::steady_clock::time_point since;  // over only, as all below
  bool disk_is_full = false;                    // as CacheSpace::Pressure
  uint64_t excess_bytes = 0;
  std::string error;  // why
};

class Evictor {
 public:
  struct Options {
    // All of these outlive the evictor.
    Db* db = nullptr;
    BlobFiller* filler = nullptr;
    TreeMounter* mounter = nullptr;
    const CacheSpace* space = nullptr;
    // Images::Collect.
    std::function<absl::Status()> collect;
    // OK: the store says, now, that it has a layer's chunks (their number is given). Bounded in time.
    std::function<absl::Status(const Digest& record, size_t chunks)> ask_store;
    std::chrono::nanoseconds interval = std::chrono::seconds(1);
    std::chrono::seconds cold_after{30};
    // So long the limits are kept before the log says that they are again.
    std::chrono::nanoseconds quiet = std::chrono::seconds(10);
  };

  // Starts the thread.
  explicit Evictor(Options options);
  // Ends after the blob that is under way.
  ~Evictor();

  EvictionStats Stats() const { return {runs_, chunks_, bytes_}; }
  OverLimit Describe() const;

 private:
  using Blob = std::shared_ptr<LayerBlob>;  // shared with reads under way
  struct Run;                               // one time beyond a limit
  struct Candidate;                         // a chunk that may go

  void Work();
  absl::Status Look();
  void NoteUses();
  absl::StatusOr<size_t> CollectLeftovers(bool pressed);
  absl::Status Evict(Run& run);
  void EvictUnused(Run& run, const std::vector<BlobRow>& rows);
  absl::Status EvictCold(Run& run, const std::vector<BlobRow>& rows);
  void AddCandidates(const Run& run, const BlobRow& row, std::vector<Candidate>* candidates);
  void EvictFirst(Run& run, std::vector<Candidate> candidates);
  absl::StatusOr<FillEngine::Evicted> EvictFrom(const Run& run, const Blob& blob,
                                                const std::vector<uint32_t>& chunks);
  absl::StatusOr<std::set<uint64_t>> UsedBlobs();
  void Tell(const Run& run, const CacheSpace::Pressure& left);

  const Options options_;
  IdleWatch pace_;
  std::atomic<uint64_t> runs_ = 0, chunks_ = 0, bytes_ = 0;
  std::chrono::steady_clock::time_point uses_noted_, leftovers_tried_;
  mutable Mutex mutex_;
  OverLimit over_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point last_over_;
  uint64_t bytes_before_ = 0;  // evicted when over_ began
  std::thread thread_;         // last: uses the above
};

}  // namespace slacker
