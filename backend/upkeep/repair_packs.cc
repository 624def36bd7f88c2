#include "backend/upkeep/repair_packs.h"

#include <algorithm>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/index_file.h"
#include "backend/store/locations_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/sound_chunks.h"
#include "backend/upkeep/trash.h"

namespace slacker {

absl::Status PackRepair::AddLocated(const Digest& pack, Rows* rows) {
  const std::string name = PackName(pack);
  ASSIGN_OR_RETURN(const auto records, backend_->List(kRecordsPrefix));
  for (const std::string& record_name : records) {
    const auto record = ParseDigestName(record_name, kRecordsPrefix);
    if (!record.ok()) continue;
    const auto found = backend_->ReadWhole(LocationsName(*record), kMaxLocationsBytes);
    const auto packs = found.ok() ? DecodePacksOfLocations(*found, *record) : found.status();
    if (!packs.ok() && !IsLost(packs.status())) return packs.status();
    if (!packs.ok() || std::count(packs->begin(), packs->end(), pack) == 0) continue;
    const auto object = reader_.ReadRecord(*record);
    if (IsLost(object.status())) continue;
    RETURN_IF_ERROR(object.status());
    const auto locations = DecodeLocations(*found, *record, object->layer.chunks.size());
    if (!locations.ok()) continue;
    for (size_t i = 0; i < locations->chunks.size(); ++i) {
      const ChunkLocation& at = locations->chunks[i];
      if (locations->packs[at.pack] != name) continue;
      const Chunk& chunk = object->layer.chunks[i];
      rows->emplace(chunk.digest, PackedChunk{chunk.digest, at.offset, at.stored_bytes,
                                              chunk.size_bytes, at.compressed});
    }
  }
  return absl::OkStatus();
}

absl::Status PackRepair::RebuildIndex(const Digest& pack) {
  const std::string name = PackName(pack);
  const auto info = backend_->Stat(name);
  if (absl::IsNotFound(info.status())) {
    return aside_->MoveAside(PackIndexName(pack), "of no pack");
  }
  RETURN_IF_ERROR(info.status());
  Rows rows;
  const auto bytes = backend_->ReadWhole(PackIndexName(pack), kMaxPackIndexBytes);
  if (!bytes.ok() && !IsLost(bytes.status())) return bytes.status();
  const auto old = bytes.ok() ? DecodePackIndex(*bytes, pack) : bytes.status();
  if (old.ok()) {
    for (const PackedChunk& chunk : old->chunks) rows.emplace(chunk.digest, chunk);
  }
  RETURN_IF_ERROR(AddLocated(pack, &rows));
  PackIndex index{pack, info->size_bytes, {}};
  for (const auto& [digest, row] : rows) {
    if (index.chunks.size() == kMaxPackChunks) break;  // who has the others stores them again
    ASSIGN_OR_RETURN(const bool sound, IsSoundChunk(*backend_, name, row));
    if (sound) index.chunks.push_back(row);
  }
  const size_t count = index.chunks.size();
  const std::string content = EncodePackIndex(std::move(index));
  if (bytes.ok() && *bytes == content) return absl::OkStatus();
  RETURN_IF_ERROR(backend_->Replace(PackIndexName(pack), content));
  SLACKER_FAILPOINT("fsck.index_replaced");
  rebuilt_.insert(pack);
  aside_->NoteMadeAnew(PackIndexName(pack), " with " + std::to_string(count) + " chunks");
  return absl::OkStatus();
}

absl::StatusOr<bool> PackRepair::CondemnIfUnused(const Digest& pack) {
  // Before the look at all references and intents (docs/adr/0015). Should it be used after all, this keeps
  // publishers from using more of it, until the next collection takes the marks away.
  RETURN_IF_ERROR(Condemn(*backend_, PackIndexName(pack)));
  RETURN_IF_ERROR(Condemn(*backend_, PackName(pack)));
  SLACKER_FAILPOINT("fsck.condemned");
  ASSIGN_OR_RETURN(const int64_t now, StoreNow(*backend_));
  const auto marks = Mark(*backend_, {.now = now});
  if (IsLost(marks.status())) return false;
  RETURN_IF_ERROR(marks.status());
  return !marks->packs.contains(pack) && marks->unreadable.empty();
}

absl::Status PackRepair::Empty(const Digest& pack) {
  const absl::Status there = backend_->Stat(PackName(pack)).status();
  if (absl::IsNotFound(there)) return absl::OkStatus();
  RETURN_IF_ERROR(there);
  CompactOptions options;
  options.only = {pack};
  const auto compacted = Compact(*backend_, options);
  if (IsLost(compacted.status())) return absl::OkStatus();  // other damage first
  RETURN_IF_ERROR(compacted.status());
  ASSIGN_OR_RETURN(const bool unused, CondemnIfUnused(pack));
  if (!unused) return absl::OkStatus();
  // A collection that has met an intent since takes the marks away, and publishers may rely on the pack again.
  const auto is_condemned = [this, &pack]() -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const auto condemned, CondemnedNames(*backend_));
    return condemned.contains(TrashName(PackName(pack))) &&
           condemned.contains(TrashName(PackIndexName(pack)));
  };
  RETURN_IF_ERROR(aside_->MoveAsideIf(
      PackName(pack), "damaged; its sound chunks are in other packs", is_condemned));
  const absl::Status stays = backend_->Stat(PackName(pack)).status();
  if (!absl::IsNotFound(stays)) return stays;
  RETURN_IF_ERROR(aside_->MoveAside(PackIndexName(pack), "of a damaged pack"));
  // Who has declared it since finds it missing.
  RETURN_IF_ERROR(Reprieve(*backend_, PackIndexName(pack)));
  return Reprieve(*backend_, PackName(pack));
}

absl::Status PackRepair::RebuildMergedIndexes(std::set<std::string> damaged) {
  if (damaged.empty() && rebuilt_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(IndexCatalog catalog, OpenIndexes(*backend_));
  for (const IndexFile& file : catalog.merged) {
    const std::vector<IndexedPack>& packs = file.directory().packs;
    const bool old = std::any_of(packs.begin(), packs.end(), [this](const IndexedPack& pack) {
      return rebuilt_.contains(pack.id);
    });
    if (old) damaged.insert(file.name());
  }
  if (damaged.empty()) return absl::OkStatus();
  // Nothing is lost: they repeat what the indexes of the packs say.
  for (const std::string& name : damaged) {
    RETURN_IF_ERROR(backend_->Remove(name));
    SLACKER_FAILPOINT("fsck.index_removed");
    aside_->Note(name, "removed: the indexes of its packs are merged again");
  }
  ASSIGN_OR_RETURN(catalog, OpenIndexes(*backend_));
  return MergeIndexes(*backend_, catalog).status();
}

}  // namespace slacker
