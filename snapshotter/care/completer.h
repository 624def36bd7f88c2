// Makes images independent of the store, and then of us, while the node has nothing else to do.
//
// For each layer blob of an image that has snapshots, those that are attached first:
//   1. what is missing is fetched, large runs of neighbours, at most `bytes_per_second`, if there
//      is room for all of it: nothing would be gained by a part, or by what is evicted again;
//   2. every chunk is read back from the disk and compared with the record;
//   3. the cache is sealed (BlobCache): data and map durable, in this order;
//   4. the blob's loop devices are switched from our FUSE file to the cache file, under running
//      containers. From then on its reads need neither slackerd nor keeper, and a tree whose blobs
//      are all there is read ahead like a local disk.
// A crash between any two steps leaves a cache that claims no more than what the disk has, and
// devices on either file, which read the same; the next slackerd goes on. A chunk that fails step 2
// is fetched once more. A blob whose sealed cache has lost a chunk (somebody found it damaged) goes
// the way back first: devices on FUSE, chunk fetched and rewritten in place, then 2 to 4 again.
//
// Threads: one, `slk-complete`, at the lowest priority, which pauses as soon as a container's read
// wants the store, and goes on after `idle` without one. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "snapshotter/attach/tree_mounter.h"
#include "snapshotter/care/idle_watch.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

struct CompletionStats {
  uint64_t bytes_fetched = 0;   // asked for because they were missing, uncompressed
  uint64_t blobs_sealed = 0;    // complete and verified
  uint64_t blobs_switched = 0;  // from FUSE to the cache file
  uint64_t blobs_reopened = 0;  // back, because a chunk was found damaged
};

class Completer {
 public:
  struct Options {
    std::string root;
    // All of these outlive the completer.
    Db* db = nullptr;
    BlobFiller* filler = nullptr;
    TreeMounter* mounter = nullptr;
    // Grows while the store is wanted for something else (IdleWatch).
    std::function<uint64_t()> activity;
    std::chrono::nanoseconds idle = std::chrono::seconds(2);
    std::function<bool()> busy;  // others use the processors (IdleWatch); null: never
    // With nothing left to do, what there is is looked at again after this time, or when something
    // happened; a store that does not answer, or a full disk, is tried again after it.
    std::chrono::nanoseconds rest = std::chrono::seconds(30);
    uint64_t bytes_per_second = 16ULL << 20;  // from the store
    // How many bytes may be added to the caches now (CacheSpace::Room); null: any number.
    std::function<uint64_t()> room;
    uint64_t verify_bytes_per_second = 64ULL << 20;
  };

  // Starts the thread.
  explicit Completer(Options options);
  // Gives up what is under way; does not wait for the store.
  ~Completer();

  CompletionStats Stats() const;

 private:
  using Blob = std::shared_ptr<LayerBlob>;  // shared with reads under way

  void Work();
  absl::Status Pass();
  // Brings one blob as far as it can be brought now.
  absl::Status Advance(const BlobRow& row, const BlobsInUse& in_use);
  absl::Status Complete(const Blob& blob);
  absl::Status Verify(const Blob& blob);
  // Back to slackerd, if it is on its cache file.
  absl::Status Reopen(const BlobRow& row, const BlobsInUse& in_use);
  absl::Status SwitchToCache(const BlobRow& row);
  absl::Status NoteLocalTrees();
  // Waits for idleness where it has gone, and until `bytes` since `began` are within the rate.
  absl::Status Pace(uint64_t bytes, uint64_t bytes_per_second,
                    std::chrono::steady_clock::time_point began);

  const Options options_;
  IdleWatch idle_;
  std::atomic<uint64_t> bytes_fetched_ = 0, blobs_sealed_ = 0, blobs_switched_ = 0,
                        blobs_reopened_ = 0;
  std::map<uint64_t, bool> local_trees_;  // by image: what the mounter was told
  std::map<uint64_t, std::chrono::steady_clock::time_point> hopeless_until_;  // by blob
  std::thread thread_;  // last: uses the above
};

}  // namespace slacker
