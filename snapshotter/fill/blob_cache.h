// The cache of one layer blob: what of it is on this node.
//
//   <blob>.data  sparse file of the blob's size; what is not filled is a hole
//   <blob>.map   which chunks are filled (blob_map.h)
//
// The bits in memory are the truth while the process lives. The map on disk never claims a chunk
// that was not synced before: Flush syncs the data, then replaces the map. After a crash the data
// file may hold more than the map claims; MayHold tells where it is worth reading and verifying
// such a chunk before fetching it. A map or data file that is missing, damaged, of another record
// or size counts as empty.
//
// A full cache can be sealed: from then on loop devices may read the data file without us. Nothing
// but Write of a chunk's own verified bytes changes it.
//
// Should somebody have cut the data file, the cache is used no more: growing it again would show
// zeros to whoever else has it open. The next Open makes another file.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/fill/blob_map.h"

namespace slacker {

class BlobCache {
 public:
  // Opens or creates `stem` + ".data".
  static absl::StatusOr<std::unique_ptr<BlobCache>> Open(std::string stem, const Digest& record,
                                                         uint64_t size_bytes, uint32_t chunks);

  bool Has(uint32_t chunk) const {
    return (words_[chunk / 64].load(std::memory_order_acquire) >> (chunk % 64) & 1) != 0;
  }
  bool IsFull() const;
  // Sealed, and full.
  bool IsSealed() const { return sealed_.load(std::memory_order_acquire) && IsFull(); }
  // Whether the data file was there when it was opened and has data at this offset. What it has is
  // not verified.
  bool MayHold(uint64_t offset) const;

  // Reads exactly `size` bytes. DATA_LOSS when the disk fails or the file is shorter.
  absl::Status Read(uint64_t offset, uint64_t size, char* out) const;
  // The same past the page cache, where the file system can do that: what the disk has. `offset`,
  // `size` and the address of `out` are multiples of 4096.
  absl::Status ReadFromDisk(uint64_t offset, uint64_t size, char* out) const;
  // Writes a chunk and then lets Has say so. RESOURCE_EXHAUSTED: the disk is full. DATA_LOSS:
  // somebody has cut the file.
  absl::Status Write(uint32_t chunk, uint64_t offset, std::string_view bytes);
  // The chunk's verified bytes are in the file already.
  void MarkFilled(uint32_t chunk);
  // Its bytes cannot be read any more.
  void Drop(uint32_t chunk);

  // Makes durable what was filled. Does nothing when nothing changed. When the disk fails to sync,
  // the cache counts as empty from then on (MayHold still finds what is good).
  absl::Status Flush();
  // Every chunk was verified in the file: makes file and map durable, and lets IsSealed say so.
  // FAILED_PRECONDITION: it is not full.
  absl::Status Seal();
  // Its files are about to be removed: nothing is flushed any more.
  void Discard();
  bool dirty() const { return dirty_.load(std::memory_order_relaxed); }

  // Both files; OK when they are not there.
  static absl::Status Remove(const std::string& stem);
  // What the disk says of a cache that is not open: whether it was sealed, and its file is there.
  static bool IsSealedOnDisk(const std::string& stem, const Digest& record, uint64_t size_bytes);

 private:
  BlobCache(std::string stem, const Digest& record, uint64_t size_bytes, uint32_t chunks)
      : stem_(std::move(stem)),
        record_(record),
        size_bytes_(size_bytes),
        chunks_(chunks),
        words_((chunks + 63) / 64) {}
  absl::Status OpenData();
  void LoadMap();
  BlobMap Map() const;
  bool IsCut() const;
  absl::Status SyncAndWriteMap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(flushing_);
  void Forget();

  const std::string stem_;
  const Digest record_;
  const uint64_t size_bytes_;
  const uint32_t chunks_;
  UniqueFd data_;
  UniqueFd direct_;                    // the same file with O_DIRECT; invalid where refused
  std::atomic<bool> reused_ = false;   // the file may hold more than the bits say
  std::atomic<bool> useless_ = false;  // somebody has cut the file
  std::atomic<bool> sealed_ = false;
  std::vector<std::atomic<uint64_t>> words_;
  std::atomic<bool> dirty_ = false;
  Mutex flushing_;  // one Flush or Seal at a time; Discard waits for it
  bool discarded_ ABSL_GUARDED_BY(flushing_) = false;
};

}  // namespace slacker
