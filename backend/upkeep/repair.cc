#include "backend/upkeep/repair.h"

#include <algorithm>
#include <map>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/index_file.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

constexpr std::string_view kMadeAnew = "made anew";
// An object is dated when its last byte is written, and has its name some time later, when it is on the disk;
// and clocks have seconds.
constexpr int64_t kWritingSeconds = 10;
constexpr std::string_view kChunkOf = " of records/";  // "chunk sha256:… of records/…"

bool IsDamaged(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsNotFound(status) || absl::IsResourceExhausted(status);
}

}  // namespace

Repairer::Repairer(std::shared_ptr<Backend> backend, int64_t began, FsckReport* report)
    : backend_(std::move(backend)), began_(began), reader_(backend_), report_(report) {}

void Repairer::Note(const std::string& object, const std::string& what) {
  report_->repaired.push_back({object, what});
}

absl::Status Repairer::Run() {
  const std::vector<Damage>& damages = report_->verified.damages;
  std::set<Digest> locations;
  std::set<Digest> indexes;
  std::set<Digest> packs;
  std::set<std::string> merged;
  for (const Damage& damage : damages) {
    if (const size_t of = damage.object.find(kChunkOf); of != std::string::npos) {
      const auto record = Digest::FromHex(damage.object.substr(of + kChunkOf.size()));
      if (record.ok()) locations.insert(*record);
      continue;
    }
    const ObjectId id = IdentifyObject(damage.object);
    if (id.kind != ObjectKind::kForeign) RETURN_IF_ERROR(MakeWay(damage.object));
    switch (id.kind) {
      case ObjectKind::kLocations:
        locations.insert(id.digest);
        break;
      case ObjectKind::kPackIndex:
        indexes.insert(id.digest);
        break;
      case ObjectKind::kPack:
        packs.insert(id.digest);
        break;
      case ObjectKind::kMergedIndex:
        merged.insert(damage.object);
        break;
      case ObjectKind::kForeign:
      case ObjectKind::kTrash:
      case ObjectKind::kQuarantine:
        break;
      case ObjectKind::kImage: {
        ASSIGN_OR_RETURN(const bool restored, RestoreManifest(damage.object, damage.object));
        if (!restored) RETURN_IF_ERROR(MoveAside(damage.object, damage.what));
        break;
      }
      case ObjectKind::kFromNodes:
      case ObjectKind::kTrace:
      case ObjectKind::kIntent:
      case ObjectKind::kLease: {
        ASSIGN_OR_RETURN(const bool young, IsYoung(damage.object));
        if (!young) RETURN_IF_ERROR(MoveAside(damage.object, damage.what));
        break;
      }
      default:
        RETURN_IF_ERROR(MoveAside(damage.object, damage.what));
    }
  }
  // Indexes first: they tell where the chunks of damaged locations are.
  for (const Digest& pack : indexes) RETURN_IF_ERROR(RebuildPackIndex(pack));
  for (const Digest& pack : packs) RETURN_IF_ERROR(RebuildPackIndex(pack));
  for (const Digest& record : locations) RETURN_IF_ERROR(RebuildLocations(record));
  for (const Digest& pack : packs) RETURN_IF_ERROR(EmptyPack(pack));
  return RebuildMergedIndexes(merged);
}

absl::Status Repairer::MakeWay(const std::string& name) {
  const absl::Status there = backend_->Stat(name).status();
  if (!absl::IsNotFound(there)) return there;
  const auto place = MoveToQuarantine(*backend_, name);
  if (absl::IsNotFound(place.status())) return absl::OkStatus();
  RETURN_IF_ERROR(place.status());
  // An object after all: somebody has just written it.
  if (backend_->Stat(*place).ok()) return PutBack(*place, name);
  Note(name, "what had its name, and was no object, was moved to quarantine/");
  return absl::OkStatus();
}

absl::Status Repairer::PutBack(const std::string& place, const std::string& name) {
  met_others_ = true;
  RETURN_IF_ERROR(CopyObject(*backend_, place, name));
  return backend_->Remove(place);
}

// Nobody can tell what it keeps, and the next collection would remove that; or it is of a newer version.
absl::StatusOr<bool> Repairer::IsYoung(const std::string& name) {
  const auto info = backend_->Stat(name);
  if (absl::IsNotFound(info.status())) return true;  // it has gone
  RETURN_IF_ERROR(info.status());
  if (began_ - info->modified_unix_seconds >= kDaySeconds) return false;
  report_->left.push_back({name, "written within the last day: whoever did may do so again"});
  return true;
}

absl::StatusOr<bool> Repairer::IsAnew(const std::string& place, const std::string& name) {
  const bool own = std::any_of(
      report_->repaired.begin(), report_->repaired.end(), [&name](const Damage& repaired) {
        return repaired.object == name && repaired.what.starts_with(kMadeAnew);
      });
  if (own) return false;
  const auto info = backend_->Stat(place);
  if (absl::IsNotFound(info.status())) return false;
  RETURN_IF_ERROR(info.status());
  return info->modified_unix_seconds >= began_ - kWritingSeconds;
}

absl::Status Repairer::MoveAside(const std::string& name, const std::string& why) {
  ASSIGN_OR_RETURN(bool sound, IsAnew(name, name));
  met_others_ = met_others_ || sound;
  if (sound) {
    report_->left.push_back({name, "written a moment ago: check again"});
    return absl::OkStatus();
  }
  const auto place = MoveToQuarantine(*backend_, name);
  SLACKER_FAILPOINT("fsck.moved");
  if (place.ok()) {
    // What was moved may be another one than was looked at.
    ASSIGN_OR_RETURN(sound, IsAnew(*place, name));
    if (!sound && IdentifyObject(name).kind == ObjectKind::kImage) {
      ASSIGN_OR_RETURN(sound, RestoreManifest(*place, name));
    }
    if (sound) return PutBack(*place, name);
    Note(name, "moved to quarantine/ (" + why + ")");
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(place.status())) return place.status();
  // What may have been removed by mistake, or by a collection that died, is not lost.
  const absl::Status restored = RestoreRemoved(*backend_, name);
  if (restored.ok()) Note(name, "brought back: it had been removed");
  return absl::IsNotFound(restored) ? absl::OkStatus() : restored;
}

absl::StatusOr<bool> Repairer::RestoreManifest(const std::string& place, const std::string& image) {
  const auto bytes = backend_->ReadWhole(place, kMaxImageEntryBytes);
  if (IsDamaged(bytes.status())) return false;
  RETURN_IF_ERROR(bytes.status());
  const auto entry = DecodeImageEntry(*bytes);
  if (!entry.ok()) return false;
  const std::string folder = std::string(kManifestsPrefix) + entry->chain_id.ToHex() + "/";
  ASSIGN_OR_RETURN(const auto present, backend_->List(folder));
  // Published again meanwhile: nothing to mend, unless it is another image's entry.
  if (!present.empty()) return image == ImageName(entry->name, entry->platform);
  ASSIGN_OR_RETURN(const Removed removed, ListRemoved(*backend_));
  bool restored = false;
  for (const auto& [object, names] : removed) {
    if (!object.starts_with(folder)) continue;
    RETURN_IF_ERROR(RestoreRemoved(*backend_, object));
    Note(object, "brought back: it had been removed");
    restored = true;
  }
  return restored;
}

absl::StatusOr<bool> Repairer::IsSound(const std::string& pack, const PackedChunk& chunk) {
  const auto stored = backend_->Read(pack, chunk.offset, chunk.stored_bytes);
  if (IsDamaged(stored.status())) return false;
  RETURN_IF_ERROR(stored.status());
  if (stored->size() != chunk.stored_bytes) return false;
  std::string bytes;
  if (!chunk.compressed) return Sha256::Of(*stored) == chunk.digest;
  return DecompressExactly(*stored, chunk.size_bytes, &bytes).ok() &&
         Sha256::Of(bytes) == chunk.digest;
}

absl::Status Repairer::FindChunks(std::set<Digest> wanted,
                                  const std::function<bool(const Digest& pack)>& may_be_in,
                                  Found* found) {
  for (const auto& [digest, place] : *found) wanted.erase(digest);
  ASSIGN_OR_RETURN(const auto names, backend_->List(kPacksPrefix));
  for (const std::string& name : names) {
    if (wanted.empty()) break;
    const auto pack = ParsePackIndexName(name);
    if (!pack.ok() || !may_be_in(*pack)) continue;
    const auto bytes = backend_->ReadWhole(name, kMaxPackIndexBytes);
    if (IsDamaged(bytes.status())) continue;
    RETURN_IF_ERROR(bytes.status());
    const auto index = DecodePackIndex(*bytes, *pack);
    if (!index.ok()) continue;
    for (const PackedChunk& chunk : index->chunks) {
      if (!wanted.contains(chunk.digest)) continue;
      ASSIGN_OR_RETURN(const bool sound, IsSound(PackName(*pack), chunk));
      if (!sound) continue;
      found->emplace(chunk.digest, std::pair(*pack, chunk));
      wanted.erase(chunk.digest);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Repairer::Found> Repairer::PlacesOf(const Digest& record,
                                                   const TableVector<Chunk>& chunks,
                                                   const std::set<Digest>& gone) {
  ASSIGN_OR_RETURN(const auto condemned, CondemnedNames(*backend_));
  const auto is_condemned = [&](const Digest& pack) {
    return condemned.contains(TrashName(PackName(pack)));
  };
  const auto present = reader_.ReadLocations(record, chunks.size());
  if (!present.ok() && !IsDamaged(present.status())) return present.status();
  Found places;
  Found in_condemned;
  std::set<Digest> wanted;
  for (size_t i = 0; i < chunks.size(); ++i) {
    wanted.insert(chunks[i].digest);
    if (!present.ok()) continue;
    const ChunkLocation& at = present->chunks[i];
    const std::string& name = present->packs[at.pack];
    const PackedChunk row{chunks[i].digest, at.offset, at.stored_bytes, chunks[i].size_bytes,
                          at.compressed};
    ASSIGN_OR_RETURN(const Digest pack, ParsePackName(name));
    if (gone.contains(pack)) continue;
    ASSIGN_OR_RETURN(const bool sound, IsSound(name, row));
    if (!sound) continue;
    (is_condemned(pack) ? in_condemned : places).emplace(row.digest, std::pair(pack, row));
  }
  RETURN_IF_ERROR(FindChunks(
      wanted, [&](const Digest& pack) { return !gone.contains(pack) && !is_condemned(pack); },
      &places));
  places.insert(in_condemned.begin(), in_condemned.end());
  RETURN_IF_ERROR(FindChunks(
      wanted, [&](const Digest& pack) { return !gone.contains(pack) && is_condemned(pack); },
      &places));
  return places;
}

absl::Status Repairer::RebuildLocations(const Digest& record) {
  const auto object = reader_.ReadRecord(record);
  if (IsDamaged(object.status())) return absl::OkStatus();  // without it nobody reads them
  RETURN_IF_ERROR(object.status());
  std::set<Digest> gone;
  bool replaced = false;
  for (;;) {
    const size_t gone_before = gone.size();
    const auto made = MakeLocations(record, object->layer.chunks, &gone);
    // A collection is removing a pack: each time there is one less to look in.
    if (absl::IsAborted(made.status()) && gone.size() > gone_before) continue;
    RETURN_IF_ERROR(made.status());
    replaced |= made->replaced;
    // Those that were replaced may have been a publisher's, who knew more. What its chunks are in was there,
    // with the indexes, before its locations: a look from now on finds it.
    if (made->replaced && made->lost > 0) continue;
    if (!replaced) return absl::OkStatus();
    const std::string lost = std::to_string(made->lost) + " chunks are lost";
    Note(LocationsName(record),
         std::string(kMadeAnew) +
             (made->lost == 0 ? "" : "; " + lost + ": publish its images again"));
    return absl::OkStatus();
  }
}

absl::StatusOr<Repairer::Made> Repairer::MakeLocations(const Digest& record,
                                                       const TableVector<Chunk>& chunks,
                                                       std::set<Digest>* gone) {
  const std::string name = LocationsName(record);
  const auto before = backend_->ReadWhole(name, kMaxLocationsBytes);
  if (!before.ok() && !IsDamaged(before.status())) return before.status();
  ASSIGN_OR_RETURN(const Found places, PlacesOf(record, chunks, *gone));
  Locations locations;
  absl::flat_hash_map<Digest, uint32_t> numbers;
  uint64_t lost = 0;
  StoreReferences relied_on;
  for (const Chunk& chunk : chunks) {
    const auto place = places.find(chunk.digest);
    // A pack that cannot be: readers say that the chunk is missing, publishers store it again.
    const bool known = place != places.end();
    const Digest pack = known ? place->second.first : Digest();
    const auto [number, is_new] =
        numbers.try_emplace(pack, static_cast<uint32_t>(locations.packs.size()));
    if (is_new) locations.packs.push_back(PackName(pack));
    if (known) relied_on.packs.insert(pack);
    lost += known ? 0 : 1;
    locations.chunks.push_back(known ? ChunkLocation{number->second, place->second.second.offset,
                                                     place->second.second.stored_bytes,
                                                     place->second.second.compressed}
                                     : ChunkLocation{number->second, 8, chunk.size_bytes, false});
  }
  ASSIGN_OR_RETURN(const std::string bytes, EncodeLocations(locations, record));
  if (before.ok() && *before == bytes) return Made{false, lost};
  Intent intent(backend_.get());
  RETURN_IF_ERROR(intent.Declare(relied_on));
  // Also from a collection that has died: there may be no other copy.
  std::set<std::string> needed;
  for (const Digest& pack : relied_on.packs) needed.insert({PackIndexName(pack), PackName(pack)});
  RETURN_IF_ERROR(ReprieveClaimed(*backend_, needed));
  const absl::Status reliable = intent.CheckPacks();
  gone->insert(intent.gone().begin(), intent.gone().end());
  RETURN_IF_ERROR(reliable);
  const auto now = backend_->ReadWhole(name, kMaxLocationsBytes);
  if (!now.ok() && !IsDamaged(now.status())) return now.status();
  if (before.ok() != now.ok() || (now.ok() && *now != *before)) {
    met_others_ = true;  // a publisher has mended them, or compaction has moved what they lead to
    return Made{false, 0};
  }
  RETURN_IF_ERROR(backend_->Replace(name, bytes));
  SLACKER_FAILPOINT("fsck.locations_replaced");
  return Made{true, lost};
}

absl::Status Repairer::RebuildPackIndex(const Digest& pack) {
  const std::string name = PackName(pack);
  const auto info = backend_->Stat(name);
  if (absl::IsNotFound(info.status())) return MoveAside(PackIndexName(pack), "of no pack");
  RETURN_IF_ERROR(info.status());
  std::map<Digest, PackedChunk> rows;
  const auto bytes = backend_->ReadWhole(PackIndexName(pack), kMaxPackIndexBytes);
  if (!bytes.ok() && !IsDamaged(bytes.status())) return bytes.status();
  const auto old = bytes.ok() ? DecodePackIndex(*bytes, pack) : bytes.status();
  if (old.ok()) {
    for (const PackedChunk& chunk : old->chunks) rows.emplace(chunk.digest, chunk);
  }
  ASSIGN_OR_RETURN(const auto records, backend_->List(kRecordsPrefix));
  for (const std::string& record_name : records) {
    const auto record = ParseDigestName(record_name, kRecordsPrefix);
    if (!record.ok()) continue;
    const auto found = backend_->ReadWhole(LocationsName(*record), kMaxLocationsBytes);
    const auto packs = found.ok() ? DecodePacksOfLocations(*found, *record) : found.status();
    if (!packs.ok() && !IsDamaged(packs.status())) return packs.status();
    if (!packs.ok() || std::count(packs->begin(), packs->end(), pack) == 0) continue;
    const auto object = reader_.ReadRecord(*record);
    if (IsDamaged(object.status())) continue;
    RETURN_IF_ERROR(object.status());
    const auto locations = DecodeLocations(*found, *record, object->layer.chunks.size());
    if (!locations.ok()) continue;
    for (size_t i = 0; i < locations->chunks.size(); ++i) {
      const ChunkLocation& at = locations->chunks[i];
      if (locations->packs[at.pack] != name) continue;
      const Chunk& chunk = object->layer.chunks[i];
      rows.emplace(chunk.digest, PackedChunk{chunk.digest, at.offset, at.stored_bytes,
                                             chunk.size_bytes, at.compressed});
    }
  }
  PackIndex index{pack, info->size_bytes, {}};
  for (const auto& [digest, row] : rows) {
    ASSIGN_OR_RETURN(const bool sound, IsSound(name, row));
    if (sound) index.chunks.push_back(row);
  }
  const size_t count = index.chunks.size();
  const std::string content = EncodePackIndex(std::move(index));
  if (bytes.ok() && *bytes == content) return absl::OkStatus();
  RETURN_IF_ERROR(backend_->Replace(PackIndexName(pack), content));
  SLACKER_FAILPOINT("fsck.index_replaced");
  Note(PackIndexName(pack), std::string(kMadeAnew) + " with " + std::to_string(count) + " chunks");
  return absl::OkStatus();
}

absl::Status Repairer::EmptyPack(const Digest& pack) {
  const absl::Status there = backend_->Stat(PackName(pack)).status();
  if (absl::IsNotFound(there)) return absl::OkStatus();
  RETURN_IF_ERROR(there);
  CompactOptions options;
  options.only = {pack};
  const auto compacted = Compact(*backend_, options);
  if (IsDamaged(compacted.status())) return absl::OkStatus();  // other damage first
  RETURN_IF_ERROR(compacted.status());
  ASSIGN_OR_RETURN(const int64_t now, StoreNow(*backend_));
  const auto marks = Mark(*backend_, {.now = now});
  if (IsDamaged(marks.status())) return absl::OkStatus();
  RETURN_IF_ERROR(marks.status());
  if (marks->packs.contains(pack) || !marks->unreadable.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(MoveAside(PackIndexName(pack), "of a damaged pack"));
  return MoveAside(PackName(pack), "damaged; its sound chunks are in other packs");
}

absl::Status Repairer::RebuildMergedIndexes(const std::set<std::string>& damaged) {
  if (damaged.empty()) return absl::OkStatus();
  // Nothing is lost: they repeat what the indexes of the packs say.
  for (const std::string& name : damaged) {
    RETURN_IF_ERROR(backend_->Remove(name));
    SLACKER_FAILPOINT("fsck.index_removed");
    Note(name, "removed: the indexes of its packs are merged again");
  }
  ASSIGN_OR_RETURN(const IndexCatalog catalog, OpenIndexes(*backend_));
  return MergeIndexes(*backend_, catalog).status();
}

}  // namespace slacker
