#include "backend/upkeep/sound_chunks.h"

#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/names.h"
#include "backend/upkeep/objects.h"

namespace slacker {

absl::StatusOr<bool> IsSoundChunk(ReadBackend& backend, const std::string& pack,
                                  const PackedChunk& chunk) {
  const auto stored = backend.Read(pack, chunk.offset, chunk.stored_bytes);
  if (IsLost(stored.status())) return false;
  RETURN_IF_ERROR(stored.status());
  if (stored->size() != chunk.stored_bytes) return false;
  std::string bytes;
  if (!chunk.compressed) return Sha256::Of(*stored) == chunk.digest;
  return DecompressExactly(*stored, chunk.size_bytes, &bytes).ok() &&
         Sha256::Of(bytes) == chunk.digest;
}

absl::Status FindSoundChunks(Backend& backend, std::set<Digest> wanted,
                             const std::function<bool(const Digest& pack)>& may_be_in,
                             FoundChunks* found) {
  for (const auto& [digest, place] : *found) wanted.erase(digest);
  ASSIGN_OR_RETURN(const auto names, backend.List(kPacksPrefix));
  for (const std::string& name : names) {
    if (wanted.empty()) break;
    const auto pack = ParsePackIndexName(name);
    if (!pack.ok() || !may_be_in(*pack)) continue;
    const auto bytes = backend.ReadWhole(name, kMaxPackIndexBytes);
    if (IsLost(bytes.status())) continue;
    RETURN_IF_ERROR(bytes.status());
    const auto index = DecodePackIndex(*bytes, *pack);
    if (!index.ok()) continue;
    for (const PackedChunk& chunk : index->chunks) {
      if (!wanted.contains(chunk.digest)) continue;
      ASSIGN_OR_RETURN(const bool sound, IsSoundChunk(backend, PackName(*pack), chunk));
      if (!sound) continue;
      found->emplace(chunk.digest, std::pair(*pack, chunk));
      wanted.erase(chunk.digest);
    }
  }
  return absl::OkStatus();
}

}  // namespace slacker
