// One layer blob while it is read: its chunk table, where its chunks are in the store, its cache
// file, and the chunks that are on their way.
//
// Only the chunk table of the layer is kept (48 bytes a chunk), not its names and nodes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/store/store.h"
#include "snapshotter/faults/chunk_faults.h"
#include "snapshotter/files/record_files.h"
#include "snapshotter/fill/blob_cache.h"
#include "snapshotter/fill/read_operation.h"
#include "snapshotter/fill/sequential_reads.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

// A chunk on its way. Guarded by LayerBlob::mutex, but for `settled`.
struct Fill {
  std::vector<std::shared_ptr<ReadOperation>> waiters;  // shared: each waits for several chunks
  std::shared_ptr<const std::string> bytes;          // once there, until they are in the cache file
  std::atomic<bool> settled = false;                 // every waiter was answered; changes once
  std::chrono::steady_clock::time_point not_before;  // it is not given up earlier
  bool has_reader = false;    // somebody reads it, or has; else nobody but us wants it
  bool evicting = false;      // it leaves the cache: nobody settles it but who evicts it
  std::set<uint64_t> coming;  // only these pages of the chunk are on their way; empty: all of it is
};

// What of a chunk comes without the rest: neighbouring pages of its blob.
struct ChunkPages {
  uint32_t chunk = 0;
  uint64_t first = 0;
  uint64_t count = 0;
};

class LayerBlob {
 public:
  // Reads the record of `row` from the node. `stem`: the cache files without their suffix.
  static absl::StatusOr<std::shared_ptr<LayerBlob>> Open(const BlobRow& row, std::string stem,
                                                         const RecordFiles& records);

  uint64_t id() const { return row_.id; }
  const Digest& record() const { return row_.record; }
  uint64_t size_bytes() const { return row_.size_bytes; }
  // Of the layer, only diff_id, the sizes and the chunks are there.
  const Layer& layer() const { return layer_; }
  BlobCache& cache() { return *cache_; }
  const BlobCache& cache() const { return *cache_; }

  // Whether some of its chunks are on their way, or being written.
  bool HasFills() {
    MutexLock lock(&mutex);
    return !fills.empty();
  }

  bool HasFill(uint32_t chunk) {
    MutexLock lock(&mutex);
    return fills.contains(chunk);
  }

  // The chunks [first, second) that overlap [offset, offset + size).
  std::pair<uint32_t, uint32_t> ChunksIn(uint64_t offset, uint64_t size) const {
    return slacker::ChunksIn(layer_.chunks, offset, size);
  }

  // Whether what a reader of [offset, offset + size) needs of this chunk can be read from the cache.
  bool Covers(uint32_t chunk, uint64_t offset, uint64_t size) const;
  // What the cache file has of it: all, single pages, or nothing.
  uint64_t CachedBytes(uint32_t chunk) const;
  // The part of a run of pages that each chunk has, in order. Pages that there are not: nothing.
  std::vector<ChunkPages> PiecesOf(uint64_t first_page, uint64_t count) const;
  // Whether the cache has pages of a chunk that are not those of its bytes.
  bool HasOtherPages(uint32_t chunk, std::string_view bytes) const;
  // Of the chunk and what is behind it up to the next block, where there are zeros.
  uint64_t PaddedSize(uint32_t chunk) const;
  // Whether `padded` is that.
  bool IsChunk(uint32_t chunk, std::string_view padded) const;
  ChunkExtent ExtentOf(uint32_t chunk) const {
    return {chunk, layer_.chunks[chunk].blob_offset, PaddedSize(chunk)};
  }
  // What the disk has in the place of a chunk, past the page cache, padded, when it is the chunk's.
  // DATA_LOSS: it is not. RESOURCE_EXHAUSTED: no memory. Else the errors of BlobCache::Read.
  absl::StatusOr<std::string> ReadChunkFromDisk(uint32_t chunk) const;
  // Reads a chunk from the disk, padded, and compares it. NOT_FOUND: it is not in the cache.
  // DATA_LOSS: it is another. Else the errors of BlobCache::Read.
  absl::Status VerifyOnDisk(uint32_t chunk);
  // Claims a chunk whose pages have come one by one, if they are all there and right. False: they are
  // all there, and not the chunk's.
  bool ClaimIfWhole(uint32_t chunk);
  // Reads from the cache file, and compares each page with its sum, or its chunk where it has none.
  // OK: `out` is right but for the chunks of `wrong`, which ascend. Else the errors of
  // BlobCache::Read. REQUIRES: within one Reading, the cache has the chunks of this range.
  absl::Status ReadChecked(uint64_t offset, uint64_t size, char* out, std::vector<uint32_t>* wrong);

  // When a chunk was last read, or brought to be read, in seconds of a clock that is the caller's;
  // 0 = not since the blob was opened.
  void NoteUse(uint32_t first, uint32_t last, uint32_t seconds) {
    for (; first < last; ++first) last_uses_[first].store(seconds, std::memory_order_relaxed);
  }
  uint32_t LastUse(uint32_t chunk) const {
    return last_uses_[chunk].load(std::memory_order_relaxed);
  }

  // From memory, else from the node, else from the store; blocks on the store. `stale`: not these
  // (null: any), but what the store says now. One question to the store at a time.
  // Shared: reads under way use the table that they began with.
  absl::StatusOr<std::shared_ptr<const Locations>> FindLocations(
      const StoreReader& reader, RecordFiles& records,
      const std::shared_ptr<const Locations>& stale);

  SequentialReads sequential_reads;

  Mutex mutex;
  // Shared: whoever fetches a chunk, and the watch over its time.
  std::unordered_map<uint32_t, std::shared_ptr<Fill>> fills ABSL_GUARDED_BY(mutex);
  // Chunks that were given up with DATA_LOSS, and those that the node's disk did not give back.
  ChunkFaults faults_in_store ABSL_GUARDED_BY(mutex);
  ChunkFaults faults_on_disk ABSL_GUARDED_BY(mutex);

 private:
  explicit LayerBlob(const BlobRow& row) : row_(row) {}
  // `chunks` are the layer's.
  void TakeContent(const Layer& layer, TableVector<Chunk> chunks);
  void NoteSumsIfUnknown(uint32_t chunk, std::string_view padded);
  bool IsRight(uint64_t offset, std::string_view page);
  absl::StatusOr<std::shared_ptr<const Locations>> ReadLocations(const StoreReader& reader,
                                                                 RecordFiles& records,
                                                                 bool from_store) const;

  const BlobRow row_;
  Layer layer_;
  std::unique_ptr<BlobCache> cache_;
  std::vector<std::atomic<uint32_t>> last_uses_;

  Mutex locations_mutex_;
  CondVar located_;
  bool locating_ ABSL_GUARDED_BY(locations_mutex_) = false;
  std::shared_ptr<const Locations> locations_ ABSL_GUARDED_BY(locations_mutex_);
};

}  // namespace slacker
