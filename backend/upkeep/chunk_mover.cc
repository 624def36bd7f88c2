#include "backend/upkeep/chunk_mover.h"

#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxReadBytes = 4 << 20;
constexpr uint64_t kMaxGapBytes = 64 << 10;

bool Follows(const Place& first, const Place& last, const Place& next) {
  const uint64_t end = last.offset + last.stored_bytes;
  return next.pack == first.pack && next.offset >= end && next.offset - end <= kMaxGapBytes &&
         next.offset + next.stored_bytes - first.offset <= kMaxReadBytes;
}

bool IsSound(const Chunk& chunk, const Place& place, std::string_view stored) {
  std::string bytes;
  if (place.compressed && !DecompressExactly(stored, chunk.size_bytes, &bytes).ok()) return false;
  return Sha256::Of(place.compressed ? std::string_view(bytes) : stored) == chunk.digest;
}

}  // namespace

ChunkMover::ChunkMover(Backend* backend, uint64_t pack_target_bytes, PackTable* packs,
                       const absl::flat_hash_set<uint32_t>* chosen, CompactReport* report)
    : backend_(backend),
      pack_target_bytes_(pack_target_bytes),
      packs_(packs),
      chosen_(chosen),
      report_(report) {}

void ChunkMover::BeginPack() {
  open_number_ = packs_->NewPack();
  open_.clear();  // what it holds of memory it keeps
  open_.reserve(pack_target_bytes_);
  open_ += PackHeader();
  chunks_.clear();
}

absl::Status ChunkMover::Move(const Layer& layer, Places* places) {
  std::vector<const Chunk*> run;
  absl::flat_hash_set<Digest> seen;
  for (const Chunk& chunk : layer.chunks) {
    const auto found = places->find(chunk.digest);
    if (found == places->end() || found->second.settled || !seen.insert(chunk.digest).second) {
      continue;
    }
    if (!run.empty() &&
        !Follows(places->at(run.front()->digest), places->at(run.back()->digest), found->second)) {
      RETURN_IF_ERROR(MoveRun(run, places));
      run.clear();
    }
    run.push_back(&chunk);
  }
  return run.empty() ? absl::OkStatus() : MoveRun(run, places);
}

// Neighbours in one pack: one read.
absl::Status ChunkMover::MoveRun(const std::vector<const Chunk*>& run, Places* places) {
  const Place first = places->at(run.front()->digest);
  const Place last = places->at(run.back()->digest);
  const std::string name = PackName((*packs_)[first.pack].id);
  const auto read =
      backend_->Read(name, first.offset, last.offset + last.stored_bytes - first.offset);
  if (!read.ok() && !absl::IsNotFound(read.status()) && !absl::IsDataLoss(read.status())) {
    return read.status();
  }
  for (const Chunk* chunk : run) {
    Place& place = places->at(chunk->digest);
    const uint64_t at = place.offset - first.offset;
    if (!read.ok() || at + place.stored_bytes > read->size() ||
        !IsSound(*chunk, place, std::string_view(*read).substr(at, place.stored_bytes))) {
      report_->damaged.push_back(chunk->digest.ToString() + " in " + name);
      continue;
    }
    if (chosen_->contains(place.pack)) {
      RETURN_IF_ERROR(
          Append(&place, chunk->digest, std::string_view(*read).substr(at, place.stored_bytes)));
    }
    place.settled = true;
  }
  return absl::OkStatus();
}

absl::Status ChunkMover::Append(Place* place, const Digest& digest, std::string_view stored) {
  if (open_.size() + stored.size() > pack_target_bytes_ || chunks_.size() == kMaxPackChunks) {
    RETURN_IF_ERROR(Finish());
  }
  if (chunks_.empty()) BeginPack();
  place->pack = open_number_;
  place->offset = open_.size();
  chunks_.push_back({.digest = digest,
                     .offset = place->offset,
                     .stored_bytes = place->stored_bytes,
                     .size_bytes = place->size_bytes,
                     .compressed = place->compressed});
  open_ += stored;
  ++report_->chunks_moved;
  return absl::OkStatus();
}

absl::Status ChunkMover::Finish() {
  if (chunks_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto condemned, CondemnedNames(*backend_));
  Digest id = Sha256::Of(open_);
  while (condemned.contains(TrashName(PackName(id)))) {
    open_ += '\0';  // maintenance may be removing this name
    id = Sha256::Of(open_);
  }
  RETURN_IF_ERROR(backend_->Put(PackName(id), open_));
  SLACKER_FAILPOINT("compact.before_index");
  RETURN_IF_ERROR(
      backend_->Put(PackIndexName(id), EncodePackIndex({id, open_.size(), std::move(chunks_)})));
  chunks_.clear();
  (*packs_)[open_number_].id = id;
  (*packs_)[open_number_].bytes = open_.size();
  ++report_->packs_written;
  report_->bytes_written += open_.size();
  return absl::OkStatus();
}

}  // namespace slacker
