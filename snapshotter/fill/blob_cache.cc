#include "snapshotter/fill/blob_cache.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

std::string DataPath(const std::string& stem) { return stem + ".data"; }
std::string MapPath(const std::string& stem) { return stem + ".map"; }
std::string ParentOf(const std::string& stem) { return stem.substr(0, stem.rfind('/')); }

absl::Status WriteExactly(const UniqueFd& fd, const std::string& stem, uint64_t offset,
                          std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(errno, "write " + DataPath(stem));
    offset += static_cast<uint64_t>(put);
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

absl::Status ReadExactly(const UniqueFd& fd, const std::string& stem, uint64_t offset,
                         uint64_t size, char* out) {
  while (size > 0) {
    const ssize_t got = pread(fd.get(), out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + DataPath(stem));
    if (got == 0) return DataLoss(DataPath(stem) + " is shorter than its blob");
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
    out += got;
  }
  return absl::OkStatus();
}

constexpr uint64_t kRegrowBytes = 1 << 20;

// Whether anybody but this descriptor has the file open, a loop device above all: then there is no
// lease to be had. A file system without leases says nothing.
bool IsHeldByOthers(const UniqueFd& fd) {
  // Who opens the file in this instant would otherwise send SIGIO, which ends a process.
  (void)fcntl(fd.get(), F_SETSIG, SIGURG);
  if (fcntl(fd.get(), F_SETLEASE, F_WRLCK) != 0) return errno == EAGAIN;
  (void)fcntl(fd.get(), F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::Open(std::string stem, const Digest& record,
                                                           uint64_t size_bytes, uint32_t chunks) {
  std::unique_ptr<BlobCache> cache(new BlobCache(std::move(stem), record, size_bytes, chunks));
  RETURN_IF_ERROR(cache->OpenData());
  (void)cache->IsOurs();  // asked again when it matters
  if (cache->reused_ && !cache->useless_) cache->LoadMap();
  return cache;
}

absl::Status BlobCache::OpenData() {
  const std::string path = DataPath(stem_);
  struct stat info {};
  data_.Reset(open(path.c_str(), O_RDWR | O_NOATIME | O_CLOEXEC));
  // Only one that is not there is made; to lack a descriptor says nothing of it.
  if (!data_.valid() && errno != ENOENT) return ErrnoError(errno, "open " + path);
  if (data_.valid() && fstat(data_.get(), &info) != 0) return ErrnoError(errno, "stat " + path);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (data_.valid() && size < size_bytes_ && IsHeldByOthers(data_)) {
    useless_ = true;  // who has it open gets the rest when it is made whole
  } else if (data_.valid() && size != size_bytes_) {
    // A new file instead of this one at its right length: whoever comes to have it would read zeros.
    if (unlink(path.c_str()) != 0) return ErrnoError(errno, "unlink " + path);
    data_.Reset();
  }
  reused_ = data_.valid() && info.st_blocks > 0;
  if (!reused_) RETURN_IF_ERROR(RemoveFile(MapPath(stem_)));  // it speaks of another file
  if (!data_.valid()) {
    data_.Reset(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOATIME | O_CLOEXEC, 0600));
    if (!data_.valid()) return ErrnoError(errno, "create " + path);
    if (ftruncate(data_.get(), static_cast<off_t>(size_bytes_)) != 0) {
      return ErrnoError(errno, "truncate " + path);
    }
  }
  direct_.Reset(open(path.c_str(), O_RDONLY | O_DIRECT | O_NOATIME | O_CLOEXEC));
  return absl::OkStatus();
}

// Whatever is wrong with the map makes it an empty one: the chunks are verified or fetched again.
void BlobCache::LoadMap() {
  const auto map = ReadBlobMap(MapPath(stem_), size_bytes_);
  if (!map.ok() || map->record != record_ || map->chunks != chunks_) return;
  for (size_t word = 0; word < words_.size(); ++word) {
    words_[word].store(map->words[word], std::memory_order_relaxed);
  }
  for (uint64_t page = 0; page < sums_.size(); ++page) sums_.Set(page, map->sums[page]);
  sealed_ = map->verified && IsFull();  // what is missing was not there to be verified
}

BlobMap BlobCache::Map() const {
  BlobMap map{.record = record_,
              .size_bytes = size_bytes_,
              .chunks = chunks_,
              .verified = sealed_.load(std::memory_order_acquire),
              .words = {},
              .sums = {}};
  map.words.reserve(words_.size());
  for (const auto& word : words_) map.words.push_back(word.load(std::memory_order_acquire));
  map.sums.reserve(sums_.size());
  for (uint64_t page = 0; page < sums_.size(); ++page) map.sums.push_back(sums_.Of(page));
  return map;
}

bool BlobCache::IsFull() const {
  for (uint32_t word = 0; word < words_.size(); ++word) {
    const uint32_t bits = std::min<uint32_t>(64, chunks_ - word * 64);
    const uint64_t all = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    if (words_[word].load(std::memory_order_acquire) != all) return false;
  }
  return true;
}

bool BlobCache::MayHold(uint64_t offset) const {
  if (!reused_) return false;
  const auto wanted = static_cast<off_t>(offset);
  return lseek(data_.get(), wanted, SEEK_DATA) == wanted;
}

absl::Status BlobCache::Read(uint64_t offset, uint64_t size, char* out) const {
  return ReadExactly(data_, stem_, offset, size, out);
}

absl::Status BlobCache::ReadFromDisk(uint64_t offset, uint64_t size, char* out) const {
  return ReadExactly(direct_.valid() ? direct_ : data_, stem_, offset, size, out);
}

absl::Status BlobCache::Regrow(
    const std::function<absl::StatusOr<std::string>(uint64_t offset, uint32_t size)>& read) {
  if (!IsOurs()) return FailedPrecondition(DataPath(stem_) + " is still another process's");
  useless_ = true;  // until the end nobody else writes to it
  {
    MutexLock lock(&flushing_);  // or what is being flushed would claim it all again
    Forget();
  }
  RETURN_IF_ERROR(SyncDirectory(ParentOf(stem_)));
  for (;;) {
    struct stat info {};
    if (fstat(data_.get(), &info) != 0) return ErrnoError(errno, "stat " + DataPath(stem_));
    const auto size = static_cast<uint64_t>(info.st_size);
    if (size == size_bytes_) break;
    if (size > size_bytes_) return DataLoss(DataPath(stem_) + " is longer than its blob");
    if (discarded_) return Cancelled(DataPath(stem_) + " is about to be removed");
    // From where it ends, so that there is never a hole: the file is longer only when the bytes are
    // in it.
    const uint64_t at = size / PageSums::kPageBytes * PageSums::kPageBytes;
    const auto part = static_cast<uint32_t>(std::min(kRegrowBytes, size_bytes_ - at));
    ASSIGN_OR_RETURN(const std::string bytes, read(at, part));
    if (bytes.size() != part) return Internal("a read of another length");
    RETURN_IF_ERROR(WriteExactly(data_, stem_, at, bytes));
  }
  useless_ = false;
  return absl::OkStatus();
}

bool BlobCache::IsCut() const {
  struct stat info {};
  return fstat(data_.get(), &info) != 0 || static_cast<uint64_t>(info.st_size) != size_bytes_;
}

bool BlobCache::IsDeleted() const {
  struct stat info {};
  return fstat(data_.get(), &info) == 0 && info.st_nlink == 0;
}

absl::Status BlobCache::CheckWritable() {
  // Said once: Regrow may have made it whole since somebody looked.
  if (!useless_ && IsCut()) {
    useless_ = true;
    Forget();
  }
  if (useless_) return DataLoss(DataPath(stem_) + " was cut by somebody; it is not used as it is");
  if (!IsOurs()) return FailedPrecondition(DataPath(stem_) + " is still another process's");
  return absl::OkStatus();
}

absl::Status BlobCache::WritePages(uint64_t offset, std::string_view bytes) {
  RETURN_IF_ERROR(CheckWritable());
  if (IsSealed()) return FailedPrecondition(DataPath(stem_) + " is sealed");
  RETURN_IF_ERROR(WriteExactly(data_, stem_, offset, bytes));
  sums_.Note(offset / PageSums::kPageBytes, bytes);
  dirty_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status BlobCache::Write(uint32_t chunk, uint64_t offset, std::string_view bytes) {
  RETURN_IF_ERROR(CheckWritable());
  RETURN_IF_ERROR(WriteExactly(data_, stem_, offset, bytes));
  // Zeros up to the next block: a new file has them.
  const uint64_t end = offset + bytes.size();
  const uint64_t rest = (PageSums::kPageBytes - end % PageSums::kPageBytes) % PageSums::kPageBytes;
  if (reused_ && rest > 0) {
    RETURN_IF_ERROR(WriteExactly(data_, stem_, end, std::string(rest, '\0')));
  }
  MarkFilled(chunk, offset, bytes);
  return absl::OkStatus();
}

// Should the other one's blocks be damaged since they were compared, the sums of these bytes tell whoever
// reads ours.
bool BlobCache::Share(const Place& place, uint64_t offset, uint64_t size) {
  const GracePeriod::Use reading = place.cache->Reading();
  if (!place.cache->Has(place.chunk) || place.cache->IsCut()) return false;
  // Up to the next block, where both have zeros: a file system shares whole blocks only.
  const uint64_t blocks = (size + PageSums::kPageBytes - 1) / PageSums::kPageBytes;
  file_clone_range range{.src_fd = place.cache->data_.get(),
                         .src_offset = place.offset,
                         .src_length = blocks * PageSums::kPageBytes,
                         .dest_offset = offset};
  return ioctl(data_.get(), FICLONERANGE, &range) == 0;
}

absl::Status BlobCache::WriteFrom(const Place& place, uint32_t chunk, uint64_t offset,
                                  std::string_view bytes) {
  RETURN_IF_ERROR(CheckWritable());
  // Where there is something already the disk has spoilt it, here or there: it is written, to the disk.
  if (MayHold(offset) || !Share(place, offset, bytes.size())) return Write(chunk, offset, bytes);
  MarkFilled(chunk, offset, bytes);
  return absl::OkStatus();
}

// Taken and kept for as long as the file is open. A process that dies gives it up when the last of
// its threads has left its last system call.
bool BlobCache::IsOurs() {
  if (ours_.load(std::memory_order_acquire)) return true;
  if (flock(data_.get(), LOCK_EX | LOCK_NB) != 0) return false;
  ours_.store(true, std::memory_order_release);
  return true;
}

void BlobCache::MarkFilled(uint32_t chunk, uint64_t offset, std::string_view bytes) {
  if (useless_) return;
  sums_.Note(offset / PageSums::kPageBytes, bytes);
  words_[chunk / 64].fetch_or(uint64_t{1} << (chunk % 64), std::memory_order_release);
  dirty_.store(true, std::memory_order_release);
}

// Whoever has read bytes that are about to become a hole must not say, once they were dropped, what
// is there: the next reader would believe it, and take the hole for damage.
void BlobCache::NoteSums(uint32_t chunk, uint64_t offset, std::string_view bytes) {
  MutexLock lock(&dropping_);
  if (!Has(chunk)) return;
  sums_.Note(offset / PageSums::kPageBytes, bytes);
  dirty_.store(true, std::memory_order_release);
}

bool BlobCache::Drop(const ChunkExtent& extent) {
  MutexLock lock(&dropping_);
  const uint64_t bit = uint64_t{1} << (extent.chunk % 64);
  const uint64_t word = words_[extent.chunk / 64].fetch_and(~bit, std::memory_order_release);
  const bool had_pages =
      sums_.Forget(extent.offset / PageSums::kPageBytes, extent.size_bytes / PageSums::kPageBytes);
  reused_.store(true, std::memory_order_release);  // its bytes are still there
  // What takes its place is right in memory; what the disk makes of it is to be seen once more.
  sealed_.store(false, std::memory_order_release);
  drops_.fetch_add(1, std::memory_order_acq_rel);
  dirty_.store(true, std::memory_order_release);
  return (word & bit) != 0 || had_pages;
}

absl::Status BlobCache::Flush() {
  MutexLock lock(&flushing_);
  if (!IsOurs()) return absl::OkStatus();  // next time
  if (discarded_ || !dirty_.exchange(false, std::memory_order_acq_rel)) return absl::OkStatus();
  return SyncAndWriteMap();
}

absl::Status BlobCache::SyncAndWriteMap() {
  // The map is taken before the data is synced: every bit in it stands for bytes that were written
  // before fdatasync began.
  const std::string map = EncodeBlobMap(Map());
  if (fdatasync(data_.get()) != 0) {
    absl::Status status = ErrnoError(errno, "fdatasync " + DataPath(stem_));
    Forget();
    return status;
  }
  SLACKER_FAILPOINT("blob_cache.before_map");
  absl::Status status = WriteFileAtomically(MapPath(stem_), map);
  if (!status.ok()) dirty_.store(true, std::memory_order_release);
  return status;
}

absl::Status BlobCache::Seal(uint64_t drops) {
  MutexLock lock(&flushing_);
  {
    MutexLock taking_out(&dropping_);
    if (discarded_ || useless_ || !IsOurs() || !IsFull() || drops_ != drops) {
      return FailedPrecondition(DataPath(stem_) + " is not complete");
    }
    if (sealed_.exchange(true)) return absl::OkStatus();
  }
  absl::Status status = SyncAndWriteMap();
  if (status.ok()) status = SyncDirectory(ParentOf(stem_));
  SLACKER_FAILPOINT("blob_cache.sealed");
  if (!status.ok()) sealed_ = false;
  return status;
}

absl::Status BlobCache::Evict(const std::vector<ChunkExtent>& extents) {
  RETURN_IF_ERROR(Unclaim(extents));
  readers_.Wait();
  SLACKER_FAILPOINT("evict.unclaimed");
  for (size_t first = 0, last = 0; first < extents.size(); first = last) {
    uint64_t size = 0;
    for (; last < extents.size() && extents[last].offset == extents[first].offset + size; ++last) {
      size += extents[last].size_bytes;
    }
    if (fallocate(data_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(extents[first].offset), static_cast<off_t>(size)) != 0) {
      return ErrnoError(errno, "punch " + DataPath(stem_));
    }
    SLACKER_FAILPOINT("evict.punched");
  }
  return absl::OkStatus();
}

absl::Status BlobCache::Unclaim(const std::vector<ChunkExtent>& extents) {
  MutexLock lock(&flushing_);
  if (discarded_ || useless_ || !IsOurs()) {
    return FailedPrecondition(DataPath(stem_) + " is not to be changed");
  }
  sealed_ = false;
  for (const ChunkExtent& extent : extents) (void)Drop(extent);  // there or not, it is not now
  dirty_.store(false, std::memory_order_release);
  SLACKER_FAILPOINT("evict.cleared");
  absl::Status unclaimed = SyncAndWriteMap();
  // A full disk has no room for another map; without one the file claims nothing.
  if (!unclaimed.ok()) {
    dirty_.store(true, std::memory_order_release);
    unclaimed = RemoveFile(MapPath(stem_));
  }
  if (unclaimed.ok()) unclaimed = SyncDirectory(ParentOf(stem_));
  return unclaimed;
}

void BlobCache::Discard() {
  MutexLock lock(&flushing_);
  discarded_ = true;
}

// After a failed fdatasync nobody knows which pages reached the disk, and the next one would not
// tell: what the file holds has to be verified like after a crash.
void BlobCache::Forget() {
  {
    MutexLock lock(&dropping_);
    for (std::atomic<uint64_t>& word : words_) word.store(0, std::memory_order_release);
    (void)sums_.Forget(0, sums_.size());
    sealed_ = false;
    ++drops_;
  }
  reused_.store(true, std::memory_order_release);
  (void)RemoveFile(MapPath(stem_));  // what it claims was durable once, so it may stay
}

absl::Status BlobCache::Remove(const std::string& stem) {
  // The map first: a data file without a map is an empty one.
  RETURN_IF_ERROR(RemoveFile(MapPath(stem)));
  return RemoveFile(DataPath(stem));
}

void BlobCache::NoteUse(const std::string& stem) {
  constexpr timespec kAccess{.tv_sec = 0, .tv_nsec = UTIME_NOW};
  constexpr timespec kModification{.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  const std::array<timespec, 2> times = {kAccess, kModification};
  // Where it fails the cache is evicted a little earlier.
  (void)utimensat(AT_FDCWD, DataPath(stem).c_str(), times.data(), 0);
}

int64_t BlobCache::LastUseNanos(const std::string& stem) {
  struct stat info {};
  if (stat(DataPath(stem).c_str(), &info) != 0) return 0;
  constexpr int64_t kNanosPerSecond = 1'000'000'000;
  return info.st_atim.tv_sec * kNanosPerSecond + info.st_atim.tv_nsec;
}

bool BlobCache::IsSealedOnDisk(const std::string& stem, const Digest& record, uint64_t size_bytes) {
  struct stat info {};
  if (stat(DataPath(stem).c_str(), &info) != 0) return false;
  if (static_cast<uint64_t>(info.st_size) != size_bytes) return false;
  const auto map = ReadBlobClaims(MapPath(stem));
  return map.ok() && map->record == record && map->size_bytes == size_bytes && map->verified &&
         map->IsFull();
}

}  // namespace slacker
