// The chunks of a publication on their way into packs: known ones are dropped, new ones are
// compressed on threads of its own, collected in an open pack, and written pack by pack.
//
// Memory: at most kMaxQueuedBytes of chunks waiting, two packs (one open, one being written), and
// some 60 bytes for each chunk of the store. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
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
#include "backend/store/pack_index.h"
#include "backend/store/store.h"

namespace slacker {

class PackWriter {
 public:
  static constexpr uint64_t kMaxQueuedBytes = 8 << 20;
  // A pack of tiny chunks is full before it has the bytes: its index must stay small.
  static constexpr size_t kMaxPackChunks = 128 << 10;

  PackWriter(Backend* backend, const StoreWriter::Options& options);

  // The chunks of a pack that the store has: they are not written again. Damaged or vanished
  // indexes are the caller's to leave out. Before the first Add.
  void AddKnown(const PackIndex& index);

  // Takes a chunk; blocks while too much is queued. Errors of writing a pack come back from any
  // later call.
  absl::Status Add(const Digest& digest, std::string_view content);

  // Waits until everything added is in the store, durably. The packs of failed writes are not.
  absl::Status Flush();

  // Where the chunks with these digests are, one after the other. INTERNAL when one of them was
  // never added. REQUIRES: Flush succeeded since.
  absl::StatusOr<Locations> Locate(const PagedBytes& digests);

  uint64_t stored_bytes() const;

 private:
  struct OpenPack {
    uint32_t number = 0;  // index into packs_
    std::string bytes;
    std::vector<PackedChunk> chunks;
  };

  void Pack(const Digest& digest, const std::string& content);
  bool IsFull() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginPack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the open pack and writes it; releases the lock meanwhile. One at a time.
  void WriteOpenPack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(OpenPack pack, Digest* id) ABSL_LOCKS_EXCLUDED(mutex_);

  Backend* const backend_;
  const StoreWriter::Options options_;
  mutable Mutex mutex_;
  CondVar changed_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // the first one
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t queued_chunks_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t stored_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  OpenPack open_ ABSL_GUARDED_BY(mutex_);
  std::vector<Digest> packs_ ABSL_GUARDED_BY(mutex_);
  // A chunk that is still being compressed has no location.
  ChunkTable known_ ABSL_GUARDED_BY(mutex_);
  ThreadPool compressors_;  // last: its tasks use the above
};

}  // namespace slacker
