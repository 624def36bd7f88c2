// The layer blobs of a node as files that are always complete: what FUSE serves. What is in the
// cache is read from there; what is missing comes through the FillEngine.
//
// Stands on the database (which blobs there are), <root>/records and <root>/blobs; nothing needs to
// be opened or closed by others: a blob is loaded at its first read and kept until Remove.
//
// A read that fails: DATA_LOSS (the record or a chunk is damaged, or its disk), UNAVAILABLE (the
// store did not answer within the stall timeout, or none is configured), NOT_FOUND (no such blob),
// CANCELLED (this filler stops: whoever asked should leave the question to the next daemon).
//
// Threads: those of the FillEngine, one that flushes the caches' maps, and at the start CacheScan's.
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "snapshotter/files/record_files.h"
#include "snapshotter/fill/cache_scan.h"
#include "snapshotter/fill/counting_backend.h"
#include "snapshotter/fill/fill_engine.h"
#include "snapshotter/fuse/blob_source.h"
#include "snapshotter/metastore/db.h"

namespace slacker {

// Told of every read of a blob before it is answered. Called on the threads that read; must not
// block. Thread-safe.
class ReadObserver {
 public:
  virtual ~ReadObserver() = default;
  virtual void OnRead(uint64_t blob_id, uint64_t offset, uint32_t size) = 0;
};

// Since the start.
struct FillStats {
  uint64_t store_requests = 0, store_bytes = 0;  // of chunks and their locations; as stored
  uint64_t chunks_filled = 0, chunks_recovered = 0, chunks_copied = 0, chunks_damaged = 0;
  uint64_t chunks_spoilt = 0;  // that the node's disk did not give back as they were
  uint64_t false_pages = 0;    // chunks of which a boot pack had other pages
  uint64_t retries = 0, stalled = 0, failed_writes = 0;
  uint64_t caches_cut = 0, caches_deleted = 0;  // files, by somebody else
  uint64_t reads = 0, read_hits = 0;            // hits: answered from the cache alone
  uint64_t served_bytes = 0;
};

// Of a layer of which chunks are not right, in the store or on the node's disk.
struct LayerFaults {
  Digest record;
  std::string images;  // as the log names them
  std::optional<ChunkFaults::Report> in_store, on_disk;
};

class BlobFiller final : public BlobSource {
 public:
  struct Options {
    std::string root;
    Db* db = nullptr;  // outlives the filler, as do the clock and the backend's callers
    const Clock* clock = nullptr;
    // Null: no store; only what is in the caches can be read. Shared with the ImageManager.
    std::shared_ptr<ReadBackend> backend;
    ReadObserver* observer = nullptr;  // may be null; outlives the filler
    FillEngine::Options fill;
    std::chrono::nanoseconds flush_interval = std::chrono::seconds(5);
  };

  // Creates the directories that are missing.
  static absl::StatusOr<std::unique_ptr<BlobFiller>> Open(Options options);
  // Stops, and waits for what is still with the store.
  ~BlobFiller() override;
  // Answers what waits for the store with CANCELLED, then flushes; nothing else may be called after
  // it. Does not wait for a store that hangs.
  void Stop();

  absl::StatusOr<uint64_t> BlobSize(uint64_t blob_id) override;
  void ReadAsync(uint64_t blob_id, uint64_t offset, uint32_t size, ReadCallback done) override;

  // Makes durable what was filled so far, and returns the first error.
  absl::Status Flush();
  // Drops a blob from memory and removes its cache; what waits for its chunks gets CANCELLED.
  // REQUIRES: it is no longer in the database.
  absl::Status Remove(uint64_t blob_id);
  // Removes every cache file of a blob that is not of `keep`, and what a crash left of any. Names that
  // are none of ours stay.
  absl::Status RemoveAllBut(const std::vector<uint64_t>& keep);
  // On disk, without holes.
  int64_t AllocatedBytes(uint64_t blob_id) const;
  // When its cache was last used, Unix time; 0 = there is none. Survives restarts. NoteUse: now.
  int64_t LastUseNanos(uint64_t blob_id) const { return BlobCache::LastUseNanos(StemOf(blob_id)); }
  void NoteUse(uint64_t blob_id) { BlobCache::NoteUse(StemOf(blob_id)); }

  // Whether all of a blob is in the cache. May load it; false also where that fails.
  bool IsComplete(const BlobRow& row);
  // A chunk from the cache alone, not verified. NOT_FOUND: it is not there, or no such blob.
  absl::StatusOr<std::string> ReadCachedChunk(uint64_t blob_id, uint32_t chunk);
  // Its bytes turned out to be wrong: they are fetched again when they are needed.
  void DropChunk(uint64_t blob_id, uint32_t chunk);

  // For the care of caches (snapshotter/care).
  // Whether the cache file may be read without us. Reads a small file once for a blob that is not
  // loaded.
  bool IsSealed(const BlobRow& row);

  // Whether its cache file is shorter than the blob, because somebody has cut it, or was when it was
  // looked at last.
  bool IsCut(const BlobRow& row);
  // Makes it whole (BlobCache::Regrow), and tells the log when it is; waits for the store until
  // `cancelled` says so (CANCELLED).
  absl::Status Regrow(const BlobRow& row, const std::function<bool()>& cancelled);

  // Who may decide what a blob's cache file is for. Move-only.
  class FileHold {
   public:
    FileHold(FileHold&& other) noexcept
        : filler_(std::exchange(other.filler_, nullptr)),
          blob_id_(other.blob_id_),
          hold_(other.hold_) {}
    FileHold& operator=(FileHold&&) = delete;
    ~FileHold() {
      if (filler_ != nullptr) filler_->EndHold(blob_id_, hold_);
    }

   private:
    friend class BlobFiller;
    FileHold(BlobFiller* filler, uint64_t blob_id, int hold)
        : filler_(filler), blob_id_(blob_id), hold_(hold) {}
    BlobFiller* filler_;
    uint64_t blob_id_;
    int hold_;
  };
  // To give the file to a loop device: while it lives the cache stays sealed. Empty: it is not, or
  // is about to be evicted from; our FUSE file does the same. Never waits.
  std::optional<FileHold> HoldSealed(const BlobRow& row);
  // To evict from it: while it lives nobody gets the above. Empty: somebody has it.
  std::optional<FileHold> TakeFile(uint64_t blob_id);

  // Brings those of the chunks [first, last) that are not in the cache; `done` as for a read, when
  // all were verified: they are written behind that.
  void FillAsync(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last,
                 std::function<void(const absl::Status&)> done);

  // The same, and waits for it, until `cancelled` says so (CANCELLED).
  absl::Status Fill(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last,
                    const std::function<bool()>& cancelled);

  // For what is brought unasked (boot_stream.h). Find loads the blob if it was not read yet: local
  // disk. Errors: those of a read.
  absl::StatusOr<std::shared_ptr<LayerBlob>> Find(uint64_t blob_id) { return Load(blob_id); }
  FillEngine& engine() { return *engine_; }

  FillStats Stats() const;
  // What the log has begun to tell of layers, and not ended.
  std::vector<LayerFaults> DescribeFaults() const;

  // <root>/records: one object for everybody who writes there.
  RecordFiles& records() { return records_; }

 private:
  explicit BlobFiller(Options options);

  std::string StemOf(uint64_t blob_id) const;
  // As the log names them.
  std::string ImagesForLog(uint64_t blob_id) const;
  // Once until it is whole again.
  void TellCut(uint64_t blob_id, uint64_t size_bytes);
  // Tells, once, that somebody has cut or deleted its cache file.
  void LookForFile(LayerBlob& blob);
  void EndHold(uint64_t blob_id, int hold);
  absl::StatusOr<BlobRow> FindRow(uint64_t blob_id);
  std::shared_ptr<LayerBlob> FindLoaded(uint64_t blob_id);
  std::vector<std::shared_ptr<LayerBlob>> LoadedBlobs() const;
  std::shared_ptr<LayerBlob> FindForCopy(uint64_t blob_id);
  absl::StatusOr<std::shared_ptr<LayerBlob>> Load(uint64_t blob_id);
  // Loads the blob on a disk thread and reads; a record that is damaged on the node is fetched
  // again, once.
  void LoadAndRead(uint64_t blob_id, uint64_t offset, uint32_t size, ReadCallback done,
                   bool fetched);
  void Read(const std::shared_ptr<LayerBlob>& blob, uint64_t offset, uint32_t size,
            ReadCallback done);
  // For who has missed [first, last): what he will want next.
  void FetchAhead(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last);
  bool ReadCached(LayerBlob& blob, uint32_t first, uint32_t last, ReadOperation& operation);
  void FlushLoop();

  const Options options_;
  RecordFiles records_;
  const std::shared_ptr<TransferCounters> transfers_;  // with the backend's callbacks
  std::shared_ptr<FillEngine> engine_;                 // with the backend's callbacks
  std::atomic<uint64_t> reads_ = 0, read_hits_ = 0, served_bytes_ = 0;
  std::atomic<uint64_t> caches_cut_ = 0, caches_deleted_ = 0;

  Mutex loading_;  // held while a record is read from the disk; before mutex_
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Shared: reads under way keep a blob that is forgotten.
  std::unordered_map<uint64_t, std::shared_ptr<LayerBlob>> blobs_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, bool> sealed_on_disk_ ABSL_GUARDED_BY(mutex_);  // not loaded ones
  std::map<uint64_t, int> file_holds_ ABSL_GUARDED_BY(mutex_);     // how many; -1 = TakeFile
  std::unordered_set<uint64_t> unusable_ ABSL_GUARDED_BY(mutex_);  // nothing is copied from them
  struct Cut {
    std::chrono::steady_clock::time_point since;
    uint64_t missing_bytes = 0;
  };
  std::map<uint64_t, Cut> cut_ ABSL_GUARDED_BY(mutex_);  // that were told and are not whole yet
  std::unordered_set<uint64_t> told_deleted_ ABSL_GUARDED_BY(mutex_);
  std::thread flusher_;
  std::optional<CacheScan> scan_;
};

}  // namespace slacker
