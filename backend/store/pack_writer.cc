#include "backend/store/pack_writer.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

// Of a chunk that waits, beside its content: its task.
constexpr uint64_t kQueuedOverhead = 256;

int CompressorThreads() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
}

// Whether `name` has exactly this content. NOT_FOUND when there is no such object.
absl::StatusOr<bool> HasContent(Backend& backend, const std::string& name,
                                std::string_view content) {
  constexpr uint64_t kStep = 4 << 20;
  ASSIGN_OR_RETURN(const ObjectInfo info, backend.Stat(name));
  if (info.size_bytes != content.size()) return false;
  for (uint64_t at = 0; at < content.size(); at += kStep) {
    const auto bytes = backend.Read(name, at, kStep);
    if (absl::IsDataLoss(bytes.status())) return false;
    RETURN_IF_ERROR(bytes.status());
    if (*bytes != content.substr(at, kStep)) return false;
  }
  return true;
}

// A name that is taken although nothing sound was found under it (the publication that wrote it
// died, or it is damaged) must not keep the content out.
absl::Status PutOrRepair(Backend& backend, const std::string& name, std::string_view content) {
  const auto present = HasContent(backend, name, content);
  if (!present.ok() && !absl::IsNotFound(present.status())) return present.status();
  if (present.ok() && !*present) return backend.Replace(name, content);
  return backend.Put(name, content);
}

}  // namespace

PackWriter::PackWriter(Backend* backend, const StoreWriter::Options& options)
    : backend_(backend), options_(options), compressors_("pack", CompressorThreads()) {
  MutexLock lock(&mutex_);
  BeginPack();
}

void PackWriter::AddKnown(const PackIndex& index) {
  MutexLock lock(&mutex_);
  const auto number = static_cast<uint32_t>(packs_.size());
  packs_.push_back(index.pack);
  for (const PackedChunk& chunk : index.chunks) {
    if (!known_.Insert(chunk.digest)) continue;
    known_.SetLocation(chunk.digest, {number, chunk.offset, chunk.stored_bytes, chunk.compressed});
  }
}

absl::Status PackWriter::Add(const Digest& digest, std::string_view content) {
  if (content.empty() || content.size() > kMaxChunkSize) {
    return InvalidArgument("chunk of " + std::to_string(content.size()) + " bytes");
  }
  {
    MutexLock lock(&mutex_);
    while (queued_bytes_ > kMaxQueuedBytes && failure_.ok()) changed_.Wait(&mutex_);
    RETURN_IF_ERROR(failure_);
    if (!known_.Insert(digest)) return absl::OkStatus();
    queued_bytes_ += content.size() + kQueuedOverhead;
    ++queued_chunks_;
  }
  compressors_.Add([this, digest, copy = std::string(content)] { Pack(digest, copy); });
  return absl::OkStatus();
}

void PackWriter::Pack(const Digest& digest, const std::string& content) {
  std::string stored;
  const bool compressed = CompressOrStore(content, options_.zstd_level, &stored);
  MutexLock lock(&mutex_);
  // A full pack that waits for the one before it to be written takes no more.
  while (IsFull() && failure_.ok()) changed_.Wait(&mutex_);
  if (failure_.ok()) {
    PackedChunk chunk{digest, open_.bytes.size(), static_cast<uint32_t>(stored.size()),
                      static_cast<uint32_t>(content.size()), compressed};
    known_.SetLocation(digest, {open_.number, chunk.offset, chunk.stored_bytes, compressed});
    open_.bytes += stored;
    open_.chunks.push_back(chunk);
    if (IsFull()) WriteOpenPack();
  }
  queued_bytes_ -= content.size() + kQueuedOverhead;
  --queued_chunks_;
  changed_.SignalAll();
}

bool PackWriter::IsFull() const {
  return open_.bytes.size() >= options_.pack_target_bytes || open_.chunks.size() >= kMaxPackChunks;
}

absl::Status PackWriter::Flush() {
  MutexLock lock(&mutex_);
  while (queued_chunks_ > 0 || writing_) changed_.Wait(&mutex_);
  if (failure_.ok() && !open_.chunks.empty()) WriteOpenPack();
  return failure_;
}

void PackWriter::BeginPack() {
  open_ = OpenPack{static_cast<uint32_t>(packs_.size()), PackHeader(), {}};
  open_.bytes.reserve(options_.pack_target_bytes + kMaxChunkSize);  // no growing by copying
  packs_.emplace_back();
}

void PackWriter::WriteOpenPack() {
  while (writing_) changed_.Wait(&mutex_);
  if (!failure_.ok() || open_.chunks.empty()) return;
  writing_ = true;
  OpenPack pack = std::move(open_);
  BeginPack();
  changed_.SignalAll();
  const uint32_t number = pack.number;
  const uint64_t size = pack.bytes.size();
  Digest id;
  mutex_.Unlock();
  absl::Status status = Write(std::move(pack), &id);
  mutex_.Lock();
  writing_ = false;
  if (status.ok()) {
    packs_[number] = id;
    stored_bytes_ += size;
  } else if (failure_.ok()) {
    failure_ = std::move(status);
  }
  changed_.SignalAll();
}

absl::Status PackWriter::Write(OpenPack pack, Digest* id) {
  SLACKER_FAILPOINT("publish.before_pack");
  PackIndex index{Sha256::Of(pack.bytes), pack.bytes.size(), std::move(pack.chunks)};
  *id = index.pack;
  RETURN_IF_ERROR(PutOrRepair(*backend_, PackName(*id), pack.bytes));
  SLACKER_FAILPOINT("publish.before_index");
  // The index comes second: who finds it may rely on the pack.
  RETURN_IF_ERROR(PutOrRepair(*backend_, PackIndexName(*id), EncodePackIndex(std::move(index))));
  SLACKER_FAILPOINT("publish.after_index");
  return absl::OkStatus();
}

absl::StatusOr<Locations> PackWriter::Locate(const PagedBytes& digests) {
  Locations locations;
  locations.chunks.reserve(digests.size() / sizeof(Digest::bytes));
  absl::flat_hash_map<uint32_t, uint32_t> numbers;  // of packs: here -> in `locations`
  MutexLock lock(&mutex_);
  PagedBytesReader rows(digests);
  for (uint64_t at = 0; at < digests.size(); at += sizeof(Digest::bytes)) {
    const Digest digest = Decoder(rows.Next(sizeof(Digest::bytes))).Hash();
    std::optional<ChunkLocation> found = known_.Find(digest);
    if (!found.has_value()) return Internal("chunk " + digest.ToHex() + " was not added");
    ChunkLocation& location = *found;
    const auto [number, is_new] =
        numbers.try_emplace(location.pack, static_cast<uint32_t>(locations.packs.size()));
    if (is_new) locations.packs.push_back(PackName(packs_[location.pack]));
    location.pack = number->second;
    locations.chunks.push_back(location);
  }
  return locations;
}

uint64_t PackWriter::stored_bytes() const {
  MutexLock lock(&mutex_);
  return stored_bytes_;
}

}  // namespace slacker
