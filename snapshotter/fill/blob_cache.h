// The cache of one layer blob: what of it is on this node.
//
//   <blob>.data  sparse file of the blob's size; what is not filled is a hole
//   <blob>.map   which chunks are filled, and the sums of their pages (blob_map.h)
//
// Whoever reads what Has says compares the pages with their sums, taken of verified bytes before they
// went to the disk: what the disk gives back is not believed. Chunks that a map of the version before
// claims have no sums yet: they are compared with their digests instead, and then have. Pages that
// came without the rest of their chunk (boot packs) have sums, while the chunk is not claimed.
//
// The bits in memory are the truth while the process lives. The map on disk never claims a chunk
// that was not synced before: Flush syncs the data, then replaces the map. After a crash the data
// file may hold more than the map claims; MayHold tells where it is worth reading and verifying
// such a chunk before fetching it. A map or data file that is missing, damaged, of another record
// or size counts as empty.
//
// A full cache can be sealed: from then on loop devices may read the data file without us. Nothing
// but a chunk's own verified bytes, written or shared, changes it; Evict takes the seal off first.
//
// Evict gives back space, in this order: the bits go, durably; readers that may have seen them end;
// only then are there holes. A crash in between leaves data that is verified before it is used.
// Whoever reads a chunk because Has said so does both within one Reading.
//
// One process changes a cache. A killed predecessor may still be within its last system call, which
// may punch a hole: until it is gone (its flock of the data file tells) the cache can be read, but
// nothing more is claimed of it.
//
// When the cache was last used is the data file's access time; our own reads do not count.
//
// Should somebody have cut the data file, nothing is written to it any more: where it was grown by that,
// whoever else has it open would see zeros. Regrow makes it whole from its end on. The next Open makes
// another file, unless somebody else has this one.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
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
#include "snapshotter/fill/grace_period.h"
#include "snapshotter/fill/page_sums.h"

namespace slacker {

// The place of a chunk in the data file, up to the next block.
struct ChunkExtent {
  uint32_t chunk = 0;
  uint64_t offset = 0;  // a multiple of 4096, as is the size
  uint64_t size_bytes = 0;
};

class BlobCache {
 public:
  // Opens or creates `stem` + ".data". `size_bytes` is a multiple of 4096.
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

  // What Has says while it lives stays true in the file until it ends. Short: local reads.
  GracePeriod::Use Reading() const { return readers_.Enter(); }

  // Reads exactly `size` bytes, whatever they are. DATA_LOSS when the disk fails or the file is shorter.
  absl::Status Read(uint64_t offset, uint64_t size, char* out) const;
  // The same past the page cache, where the file system can do that: what the disk has. `offset`,
  // `size` and the address of `out` are multiples of 4096.
  absl::Status ReadFromDisk(uint64_t offset, uint64_t size, char* out) const;
  // Writes a chunk and then lets Has say so. RESOURCE_EXHAUSTED: the disk is full. DATA_LOSS:
  // somebody has cut the file. FAILED_PRECONDITION: it is not ours yet.
  absl::Status Write(uint32_t chunk, uint64_t offset, std::string_view bytes);
  // The same for what another cache has at `place`, whose bytes were compared: where the file system can
  // share blocks (FICLONERANGE, ioctl_ficlonerange(2)), and nothing is at `offset`, they take no space.
  struct Place {
    const BlobCache* cache;
    uint32_t chunk;
    uint64_t offset;
  };
  absl::Status WriteFrom(const Place& place, uint32_t chunk, uint64_t offset,
                         std::string_view bytes);
  // Writes whole pages of chunks that are not there as such; from then on they have sums, and are
  // read by who finds those. The errors of Write. REQUIRES: nobody evicts these chunks meanwhile.
  absl::Status WritePages(uint64_t offset, std::string_view bytes);
  // Whether nobody else can change the file any more. Cheap once it has been true.
  bool IsOurs();
  // The chunk's verified bytes are in the file already. REQUIRES: IsOurs before they were read.
  void MarkFilled(uint32_t chunk, uint64_t offset, std::string_view bytes);
  // The bytes of a chunk were found to be right: its pages have sums from now on, if it is claimed
  // still. Otherwise it has been dropped since they were read, and its bytes may go.
  void NoteSums(uint32_t chunk, uint64_t offset, std::string_view bytes);
  // Of the page at `offset`; PageSums::kUnknown where there is none.
  uint32_t SumOf(uint64_t offset) const { return sums_.Of(offset / PageSums::kPageBytes); }
  // Its bytes cannot be read any more, or are wrong: it has to be sealed anew. False: nothing of it was claimed.
  bool Drop(const ChunkExtent& extent);

  // Makes durable what was filled. Does nothing when nothing changed. When the disk fails to sync,
  // the cache counts as empty from then on (MayHold still finds what is good).
  absl::Status Flush();
  // How often something was taken out of it.
  uint64_t drops() const { return drops_.load(std::memory_order_acquire); }
  // Every chunk was verified in the file since there were so many drops: makes file and map durable,
  // and lets IsSealed say so until the next one. FAILED_PRECONDITION: it is not full, or there were more.
  absl::Status Seal(uint64_t drops);
  // Gives the space of these chunks back. FAILED_PRECONDITION: the file is not ours, or about to be
  // removed. After an error each chunk is in the file still, unclaimed, or a hole. REQUIRES: no
  // loop device has the file, nobody writes these chunks meanwhile; one call at a time.
  absl::Status Evict(const std::vector<ChunkExtent>& extents);
  // Makes a file that somebody has cut whole again, as whoever has it open sees it: what is missing is
  // read from elsewhere and added at its end. Claims nothing of it. FAILED_PRECONDITION: the file is not ours.
  // Or what `read` answers, or the disk. One call at a time.
  absl::Status Regrow(
      const std::function<absl::StatusOr<std::string>(uint64_t offset, uint32_t size)>& read);
  // Its files are about to be removed: nothing is flushed any more, and who works on it for long lets
  // go of it, because the disk has its space until then.
  void Discard();
  bool discarded() const { return discarded_.load(std::memory_order_relaxed); }
  // Somebody has cut the file: nothing is written to it, and nothing read, before Regrow or the next start.
  bool useless() const { return useless_.load(std::memory_order_acquire); }
  // Its length is not its blob's.
  bool IsCut() const;
  // Somebody has deleted the file: it is gone with the last who has it open.
  bool IsDeleted() const;
  bool dirty() const { return dirty_.load(std::memory_order_relaxed); }

  // Both files; OK when they are not there.
  static absl::Status Remove(const std::string& stem);
  // Of a cache that may not be open: it was used just now; when it last was, Unix time, 0 = never.
  static void NoteUse(const std::string& stem);
  static int64_t LastUseNanos(const std::string& stem);
  // What the disk says of a cache that is not open: whether it was sealed, and its file is there.
  static bool IsSealedOnDisk(const std::string& stem, const Digest& record, uint64_t size_bytes);

 private:
  BlobCache(std::string stem, const Digest& record, uint64_t size_bytes, uint32_t chunks)
      : stem_(std::move(stem)),
        record_(record),
        size_bytes_(size_bytes),
        chunks_(chunks),
        words_((chunks + 63) / 64),
        sums_(size_bytes / PageSums::kPageBytes) {}
  absl::Status OpenData();
  void LoadMap();
  BlobMap Map() const;
  absl::Status CheckWritable();
  bool Share(const Place& place, uint64_t offset, uint64_t size);
  // Lets neither memory nor disk claim these chunks.
  absl::Status Unclaim(const std::vector<ChunkExtent>& extents);
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
  std::atomic<uint64_t> drops_ = 0;
  std::atomic<bool> ours_ = false;  // we have the file's lock
  mutable GracePeriod readers_;
  std::vector<std::atomic<uint64_t>> words_;
  PageSums sums_;
  Mutex dropping_;  // what is taken out of bits and sums stays out of both
  std::atomic<bool> dirty_ = false;
  Mutex flushing_;                       // one Flush or Seal at a time; Discard waits for it
  std::atomic<bool> discarded_ = false;  // set under flushing_
};

}  // namespace slacker
