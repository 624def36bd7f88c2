#include "backend/upkeep/repair_locations.h"

#include <string>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/locations_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/trash.h"

namespace slacker {

absl::StatusOr<FoundChunks> LocationsRepair::PlacesOf(const Digest& record,
                                                      const TableVector<Chunk>& chunks,
                                                      const std::set<Digest>& gone) {
  ASSIGN_OR_RETURN(const auto condemned, CondemnedNames(*backend_));
  const auto is_condemned = [&](const Digest& pack) {
    return condemned.contains(TrashName(PackName(pack)));
  };
  const auto present = reader_.ReadLocations(record, chunks.size());
  if (!present.ok() && !IsLost(present.status())) return present.status();
  FoundChunks places;
  FoundChunks in_condemned;
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
    ASSIGN_OR_RETURN(const bool sound, IsSoundChunk(*backend_, name, row));
    if (!sound) continue;
    (is_condemned(pack) ? in_condemned : places).emplace(row.digest, std::pair(pack, row));
  }
  RETURN_IF_ERROR(FindSoundChunks(
      *backend_, wanted,
      [&](const Digest& pack) { return !gone.contains(pack) && !is_condemned(pack); }, &places));
  places.insert(in_condemned.begin(), in_condemned.end());
  RETURN_IF_ERROR(FindSoundChunks(
      *backend_, wanted,
      [&](const Digest& pack) { return !gone.contains(pack) && is_condemned(pack); }, &places));
  return places;
}

absl::Status LocationsRepair::Rebuild(const Digest& record) {
  const auto object = reader_.ReadRecord(record);
  if (absl::IsNotFound(object.status())) {
    return aside_->MoveAside(LocationsName(record), "of no record");
  }
  if (IsLost(object.status())) return absl::OkStatus();  // without it nobody reads them
  RETURN_IF_ERROR(object.status());
  std::set<Digest> gone;
  bool replaced = false;
  for (;;) {
    const size_t gone_before = gone.size();
    const auto made = Make(record, object->layer.chunks, &gone);
    // A collection is removing a pack: each time there is one less to look in.
    if (absl::IsAborted(made.status()) && gone.size() > gone_before) continue;
    RETURN_IF_ERROR(made.status());
    replaced |= made->replaced;
    // Those that were replaced may have been a publisher's, who knew more. What its chunks are in was there,
    // with the indexes, before its locations: a look from now on finds it.
    if (made->replaced && made->lost > 0) continue;
    if (!replaced) return absl::OkStatus();
    const std::string lost = std::to_string(made->lost) + " chunks are lost";
    aside_->NoteMadeAnew(LocationsName(record),
                         made->lost == 0 ? "" : "; " + lost + ": publish its images again");
    return absl::OkStatus();
  }
}

absl::Status LocationsRepair::RelyOn(const std::set<Digest>& packs, std::set<Digest>* gone,
                                     Intent* intent) {
  RETURN_IF_ERROR(intent->Declare({.chains = {}, .records = {}, .packs = packs}));
  // Also from a collection that has died: there may be no other copy.
  std::set<std::string> needed;
  for (const Digest& pack : packs) needed.insert({PackIndexName(pack), PackName(pack)});
  RETURN_IF_ERROR(ReprieveClaimed(*backend_, needed));
  const absl::Status reliable = intent->CheckPacks();
  gone->insert(intent->gone().begin(), intent->gone().end());
  return reliable;
}

absl::StatusOr<LocationsRepair::Made> LocationsRepair::Make(const Digest& record,
                                                            const TableVector<Chunk>& chunks,
                                                            std::set<Digest>* gone) {
  const std::string name = LocationsName(record);
  const auto before = backend_->ReadWhole(name, kMaxLocationsBytes);
  if (!before.ok() && !IsLost(before.status())) return before.status();
  ASSIGN_OR_RETURN(const FoundChunks places, PlacesOf(record, chunks, *gone));
  Locations locations;
  absl::flat_hash_map<Digest, uint32_t> numbers;
  uint64_t lost = 0;
  std::set<Digest> packs;
  for (const Chunk& chunk : chunks) {
    const auto place = places.find(chunk.digest);
    // A pack that cannot be: readers say that the chunk is missing, publishers store it again.
    const bool known = place != places.end();
    const Digest pack = known ? place->second.first : Digest();
    const auto [number, is_new] =
        numbers.try_emplace(pack, static_cast<uint32_t>(locations.packs.size()));
    if (is_new) locations.packs.push_back(PackName(pack));
    if (known) packs.insert(pack);
    lost += known ? 0 : 1;
    locations.chunks.push_back(known ? ChunkLocation{number->second, place->second.second.offset,
                                                     place->second.second.stored_bytes,
                                                     place->second.second.compressed}
                                     : ChunkLocation{number->second, 8, chunk.size_bytes, false});
  }
  ASSIGN_OR_RETURN(const std::string bytes, EncodeLocations(locations, record));
  if (before.ok() && *before == bytes) return Made{false, lost};
  Intent intent(backend_.get());
  RETURN_IF_ERROR(RelyOn(packs, gone, &intent));
  const auto now = backend_->ReadWhole(name, kMaxLocationsBytes);
  if (!now.ok() && !IsLost(now.status())) return now.status();
  if (before.ok() != now.ok() || (now.ok() && *now != *before)) {
    aside_->MeetOthers();  // a publisher has mended them, or compaction has moved what they lead to
    return Made{false, 0};
  }
  RETURN_IF_ERROR(backend_->Replace(name, bytes));
  SLACKER_FAILPOINT("fsck.locations_replaced");
  return Made{true, lost};
}

}  // namespace slacker
