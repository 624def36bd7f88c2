#include "backend/store/pack_writer.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/spill.h"
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

PackWriter::PackWriter(Backend* backend, KnownChunks* known, const StoreWriter::Options& options)
    : backend_(backend), known_chunks_(known), options_(options) {
  auto threads = ThreadPool::Make("pack", CompressorThreads());
  MutexLock lock(&mutex_);
  failure_ = threads.status();
  if (threads.ok()) threads_ = *std::move(threads);
  BeginPack();
}

absl::Status PackWriter::Add(const Digest& digest, std::string_view content) {
  return Add(digest, content, false);
}

absl::Status PackWriter::AddAgain(const Digest& digest, std::string_view content) {
  return Add(digest, content, true);
}

absl::Status PackWriter::Add(const Digest& digest, std::string_view content, bool again) {
  if (content.empty() || content.size() > kMaxChunkSize) {
    return InvalidArgument("chunk of " + std::to_string(content.size()) + " bytes");
  }
  uint64_t number = 0;
  {
    MutexLock lock(&mutex_);
    while (queued_bytes_ > kMaxQueuedBytes && failure_.ok()) changed_.Wait(&mutex_);
    RETURN_IF_ERROR(failure_);
    if (!added_.Insert(digest) && !again) return absl::OkStatus();
    queued_bytes_ += content.size() + kQueuedOverhead;
    number = first_slot_ + slots_.size();
    Slot& slot = slots_.emplace_back();
    slot.digest = digest;
    slot.size_bytes = static_cast<uint32_t>(content.size());
  }
  threads_->Add(
      [this, number, digest, copy = std::string(content)] { Prepare(number, digest, copy); });
  return absl::OkStatus();
}

void PackWriter::Prepare(uint64_t number, const Digest& digest, const std::string& content) {
  absl::StatusOr<std::optional<KnownChunk>> known = std::nullopt;
  if (known_chunks_ != nullptr) known = known_chunks_->Find(digest);
  std::string stored;
  bool compressed = false;
  if (known.ok() && !known->has_value()) {
    compressed = CompressOrStore(content, options_.zstd_level, &stored);
  }
  MutexLock lock(&mutex_);
  Slot& slot = slots_[number - first_slot_];
  if (known.ok()) {
    slot.known = *known;
  } else {
    failure_.Update(known.status());
  }
  slot.stored = std::move(stored);
  slot.compressed = compressed;
  slot.ready = true;
  Drain();
  changed_.SignalAll();
}

void PackWriter::Drain() {
  for (;;) {
    if (IsFull() && failure_.ok()) {
      if (writing_) return;  // who writes goes on here afterwards
      WriteOpenPack();
      continue;
    }
    if (slots_.empty() || !slots_.front().ready) return;
    Slot slot = std::move(slots_.front());
    slots_.pop_front();
    ++first_slot_;
    queued_bytes_ -= slot.size_bytes + kQueuedOverhead;
    if (failure_.ok()) Place(std::move(slot));
  }
}

void PackWriter::Place(Slot slot) {
  if (slot.known.has_value()) return SetPlaceLocked(slot.digest, *slot.known);
  const PackedChunk chunk{.digest = slot.digest,
                          .offset = open_.bytes.size(),
                          .stored_bytes = static_cast<uint32_t>(slot.stored.size()),
                          .size_bytes = slot.size_bytes,
                          .compressed = slot.compressed};
  added_.SetLocation(slot.digest,
                     {open_.number, chunk.offset, chunk.stored_bytes, chunk.compressed});
  open_.bytes += slot.stored;
  open_.chunks.push_back(chunk);
}

void PackWriter::SetPlace(const Digest& digest, const KnownChunk& place) {
  MutexLock lock(&mutex_);
  (void)added_.Insert(digest);
  SetPlaceLocked(digest, place);
}

void PackWriter::SetPlaceLocked(const Digest& digest, const KnownChunk& place) {
  const auto [number, is_new] =
      numbers_.try_emplace(place.pack, static_cast<uint32_t>(packs_.size()));
  if (is_new) packs_.push_back(place.pack);
  added_.SetLocation(digest, {number->second, place.offset, place.stored_bytes, place.compressed});
}

bool PackWriter::IsFull() const {
  return open_.bytes.size() >= options_.pack_target_bytes || open_.chunks.size() >= kMaxPackChunks;
}

absl::Status PackWriter::Flush() {
  MutexLock lock(&mutex_);
  while (!slots_.empty() || writing_) changed_.Wait(&mutex_);
  if (failure_.ok() && !open_.chunks.empty()) WriteOpenPack();
  return failure_;
}

void PackWriter::BeginPack() {
  open_ = OpenPack{static_cast<uint32_t>(packs_.size()), PackHeader(), {}};
  open_.bytes.reserve(options_.pack_target_bytes + kMaxChunkSize);  // no growing by copying
  packs_.emplace_back();
}

void PackWriter::WriteOpenPack() {
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
  } else {
    failure_.Update(status);
  }
  changed_.SignalAll();
}

absl::Status PackWriter::Write(OpenPack pack, Digest* id) {
  SLACKER_FAILPOINT("publish.before_pack");
  *id = Sha256::Of(pack.bytes);
  while (known_chunks_ != nullptr && known_chunks_->IsCondemned(PackName(*id))) {
    // Maintenance may remove this name at any time. No row tells of these bytes.
    pack.bytes += '\0';
    *id = Sha256::Of(pack.bytes);
  }
  PackIndex index{*id, pack.bytes.size(), std::move(pack.chunks)};
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
    TrimSpilledAround(locations.chunks.size());
    const Digest digest = Decoder(rows.Next(sizeof(Digest::bytes))).Hash();
    std::optional<ChunkLocation> found = added_.Find(digest);
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

void PackWriter::End() {
  MutexLock lock(&mutex_);
  (void)std::exchange(open_, {});  // assigning would keep the room
  added_.Clear();
  numbers_ = {};
}

uint64_t PackWriter::stored_bytes() const {
  MutexLock lock(&mutex_);
  return stored_bytes_;
}

}  // namespace slacker
