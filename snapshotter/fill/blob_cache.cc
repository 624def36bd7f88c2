#include "snapshotter/fill/blob_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

constexpr std::string_view kMagic("SLKMAP1\0", 8);
constexpr uint64_t kMaxMapBytes = 1ULL << 30;

std::string DataPath(const std::string& stem) { return stem + ".data"; }
std::string MapPath(const std::string& stem) { return stem + ".map"; }

}  // namespace

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::Open(std::string stem, const Digest& record,
                                                           uint64_t size_bytes, uint32_t chunks) {
  std::unique_ptr<BlobCache> cache(new BlobCache(std::move(stem), record, size_bytes, chunks));
  RETURN_IF_ERROR(cache->OpenData());
  if (cache->reused_) cache->LoadMap();
  return cache;
}

absl::Status BlobCache::OpenData() {
  const std::string path = DataPath(stem_);
  data_.Reset(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!data_.valid()) return ErrnoError(errno, "open " + path);
  struct stat info {};
  if (fstat(data_.get(), &info) != 0) return ErrnoError(errno, "stat " + path);
  reused_ = static_cast<uint64_t>(info.st_size) == size_bytes_ && info.st_blocks > 0;
  if (reused_) return absl::OkStatus();
  RETURN_IF_ERROR(RemoveFile(MapPath(stem_)));  // it speaks of another file
  if (ftruncate(data_.get(), 0) != 0 ||
      ftruncate(data_.get(), static_cast<off_t>(size_bytes_)) != 0) {
    return ErrnoError(errno, "truncate " + path);
  }
  return absl::OkStatus();
}

// Whatever is wrong with the map makes it an empty one: the chunks are verified or fetched again.
void BlobCache::LoadMap() {
  const auto bytes = ReadSmallFile(MapPath(stem_), kMaxMapBytes);
  if (!bytes.ok() || bytes->size() != EncodeMap().size()) return;
  const size_t body_size = bytes->size() - record_.bytes.size();
  const std::string_view body = std::string_view(*bytes).substr(0, body_size);
  if (AsText(Sha256::Of(body).bytes) != std::string_view(*bytes).substr(body_size)) return;
  Decoder decoder(body);
  if (decoder.Raw(kMagic.size()) != kMagic || decoder.Hash() != record_ ||
      decoder.U64() != size_bytes_ || decoder.U32() != chunks_) {
    return;
  }
  const std::string_view bits = decoder.Raw((chunks_ + 7) / 8);
  if (!decoder.done()) return;
  for (uint32_t chunk = 0; chunk < chunks_; ++chunk) {
    if ((static_cast<uint8_t>(bits[chunk / 8]) >> (chunk % 8) & 1) != 0) {
      words_[chunk / 64].fetch_or(uint64_t{1} << (chunk % 64), std::memory_order_relaxed);
    }
  }
}

std::string BlobCache::EncodeMap() const {
  std::string out;
  Encoder encoder(&out);
  encoder.Raw(kMagic);
  encoder.Hash(record_);
  encoder.U64(size_bytes_);
  encoder.U32(chunks_);
  for (uint32_t byte = 0; byte < (chunks_ + 7) / 8; ++byte) {
    const uint64_t word = words_[byte / 8].load(std::memory_order_acquire);
    encoder.U8(static_cast<uint8_t>(word >> (byte % 8 * 8)));
  }
  encoder.Hash(Sha256::Of(out));
  return out;
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
  while (size > 0) {
    const ssize_t got = pread(data_.get(), out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + DataPath(stem_));
    if (got == 0) return DataLoss(DataPath(stem_) + " is shorter than its blob");
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
    out += got;
  }
  return absl::OkStatus();
}

absl::Status BlobCache::Write(uint32_t chunk, uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(data_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(errno, "write " + DataPath(stem_));
    offset += static_cast<uint64_t>(put);
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  MarkFilled(chunk);
  return absl::OkStatus();
}

void BlobCache::MarkFilled(uint32_t chunk) {
  words_[chunk / 64].fetch_or(uint64_t{1} << (chunk % 64), std::memory_order_release);
  dirty_.store(true, std::memory_order_release);
}

void BlobCache::Drop(uint32_t chunk) {
  words_[chunk / 64].fetch_and(~(uint64_t{1} << (chunk % 64)), std::memory_order_release);
  dirty_.store(true, std::memory_order_release);
}

absl::Status BlobCache::Flush() {
  MutexLock lock(&flushing_);
  if (discarded_ || !dirty_.exchange(false, std::memory_order_acq_rel)) return absl::OkStatus();
  // The map is taken before the data is synced: every bit in it stands for bytes that were written
  // before fdatasync began.
  const std::string map = EncodeMap();
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

void BlobCache::Discard() {
  MutexLock lock(&flushing_);
  discarded_ = true;
}

// After a failed fdatasync nobody knows which pages reached the disk, and the next one would not
// tell: what the file holds has to be verified like after a crash.
void BlobCache::Forget() {
  for (std::atomic<uint64_t>& word : words_) word.store(0, std::memory_order_release);
  reused_.store(true, std::memory_order_release);
  (void)RemoveFile(MapPath(stem_));  // what it claims was durable once, so it may stay
}

absl::Status BlobCache::Remove(const std::string& stem) {
  // The map first: a data file without a map is an empty one.
  RETURN_IF_ERROR(RemoveFile(MapPath(stem)));
  return RemoveFile(DataPath(stem));
}

}  // namespace slacker
