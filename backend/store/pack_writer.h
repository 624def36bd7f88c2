// The chunks of a publication on their way into packs: those that the store has are dropped, new
// ones are compressed, both on threads of its own; then they go into the open pack in the order in
// which they were added, so that what is read together lies together, and that equal publications
// make equal packs. Packs are written one by one while the next one fills.
//
// Memory: at most kMaxQueuedBytes of chunks on their way, two packs (one open, one being written),
// some 60 bytes for each chunk of the publication, and what KnownChunks needs. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/store/chunk_table.h"
#include "backend/store/known_chunks.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"

namespace slacker {

class PackWriter {
 public:
  static constexpr uint64_t kMaxQueuedBytes = 16 << 20;

  // `known` may be null: then nothing is. Where the node has no threads left, every call fails with
  // RESOURCE_EXHAUSTED.
  PackWriter(Backend* backend, KnownChunks* known, const StoreWriter::Options& options);

  // Takes a chunk; blocks while too much is queued. Errors of writing a pack, or of the question
  // whether the store has the chunk, come back from any later call.
  absl::Status Add(const Digest& digest, std::string_view content);

  // The same for a chunk that was added before, but must not be relied on where it is.
  absl::Status AddAgain(const Digest& digest, std::string_view content);
  // Whether or not a chunk was added before: it is to be relied on there.
  void SetPlace(const Digest& digest, const KnownChunk& place);

  // Waits until everything added is in the store, durably. The packs of failed writes are not.
  absl::Status Flush();

  // Where the chunks with these digests are, one after the other. INTERNAL when one of them was
  // never added. REQUIRES: Flush succeeded since.
  absl::StatusOr<Locations> Locate(const PagedBytes& digests);

  // Frees what chunks took. REQUIRES: Flush was the last call but for Locate, and none of them follow.
  void End();

  uint64_t stored_bytes() const;

 private:
  struct OpenPack {
    uint32_t number = 0;  // index into packs_
    std::string bytes;
    std::vector<PackedChunk> chunks;
  };
  // A chunk between Add and its place in a pack.
  struct Slot {
    Digest digest;
    uint32_t size_bytes = 0;
    bool ready = false;
    std::optional<KnownChunk> known;  // else what is to be stored:
    bool compressed = false;
    std::string stored;
  };

  absl::Status Add(const Digest& digest, std::string_view content, bool again);
  void SetPlaceLocked(const Digest& digest, const KnownChunk& place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Asks the store, or compresses.
  void Prepare(uint64_t number, const Digest& digest, const std::string& content);
  // Moves what is ready to its place, and writes what is full; releases the lock meanwhile.
  void Drain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Place(Slot slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsFull() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginPack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the open pack and writes it; releases the lock meanwhile. REQUIRES: !writing_.
  void WriteOpenPack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(OpenPack pack, Digest* id) ABSL_LOCKS_EXCLUDED(mutex_);

  Backend* const backend_;
  KnownChunks* const known_chunks_;
  const StoreWriter::Options options_;
  mutable Mutex mutex_;
  CondVar changed_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // the first one
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t stored_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Slot> slots_ ABSL_GUARDED_BY(mutex_);
  uint64_t first_slot_ ABSL_GUARDED_BY(mutex_) = 0;  // number of the first of them
  OpenPack open_ ABSL_GUARDED_BY(mutex_);
  std::vector<Digest> packs_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Digest, uint32_t> numbers_ ABSL_GUARDED_BY(mutex_);  // of the store's packs
  // A chunk that is still on its way has no location.
  ChunkTable added_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ThreadPool> threads_;  // last: its tasks use the above; null: see failure_
};

}  // namespace slacker
