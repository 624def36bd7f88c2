// Proves, while the node has nothing else to do, that what it holds of a layer is that layer: the
// tar is put together from the blob cache and the store's tar part, its digest must be the diff ID
// that containerd asked for, and the record that this tar gives the record that the node has. The
// store's signature says who vouches for a layer; this says that nobody needs to.
//
// A layer's turn comes when all of its chunks are in the cache. The outcome is kept in the database
// (Proof), so that each layer is proved once. A chunk that the disk no longer gives back right is
// dropped from the cache, and comes from the store at its next read.
//
// Threads: one, `slk-prove`, at the lowest priority, and while a layer is looked at another one that reads its
// tar; they work only while no container's read comes.
// Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <thread>

#include "snapshotter/care/idle_watch.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

class LayerProver {
 public:
  struct Options {
    // Both outlive the prover.
    Db* db = nullptr;
    BlobFiller* filler = nullptr;
    std::shared_ptr<ReadBackend> backend;
    // No read for so long is idleness.
    std::chrono::nanoseconds idle = std::chrono::seconds(10);
    std::function<bool()> busy;  // others use the processors (IdleWatch); null: never
  };

  // Starts the thread.
  explicit LayerProver(Options options);
  // Gives up what is under way; waits for an answer of the store.
  ~LayerProver();
  // The same without the wait: nothing is begun any more.
  void Stop();

 private:
  void Work();
  absl::StatusOr<std::vector<BlobRow>> Unproved();
  // The blob's turn, if it has come.
  void Consider(const BlobRow& blob);
  absl::StatusOr<Proof> Prove(const BlobRow& blob);
  absl::StatusOr<std::string> ReadChunk(const BlobRow& blob, const Layer& layer, uint32_t chunk);
  // CANCELLED: the daemon stops.
  absl::Status WaitForQuiet();
  absl::Status Keep(const BlobRow& blob, Proof proof);

  const Options options_;
  const StoreReader reader_;
  IdleWatch idle_;
  std::set<uint64_t> hopeless_;  // blobs whose layer cannot be proved while this process lives
  std::thread thread_;           // last: uses the above
};

}  // namespace slacker
