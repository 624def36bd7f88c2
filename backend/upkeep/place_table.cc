#include "backend/upkeep/place_table.h"

#include <utility>

#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {

absl::StatusOr<uint32_t> PlaceTable::NumberOf(Backend& backend, const std::string& name) {
  ASSIGN_OR_RETURN(const Digest id, ParsePackName(name));
  const auto [number, is_new] = numbers_.try_emplace(id, static_cast<uint32_t>(packs_.size()));
  if (!is_new) return number->second;
  packs_.push_back({id, 0, 0});
  const auto info = backend.Stat(name);
  if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
  if (info.ok()) packs_.back().bytes = info->size_bytes;
  return number->second;
}

uint32_t PlaceTable::NewPack() {
  packs_.emplace_back();
  return static_cast<uint32_t>(packs_.size() - 1);
}

bool PlaceTable::Better(const Place& a, const Place& b) const {
  const Pack& left = packs_[a.pack];
  const Pack& right = packs_[b.pack];
  if (left.bytes != right.bytes) return left.bytes > right.bytes;
  return left.id < right.id;
}

absl::Status PlaceTable::Add(Backend& backend, const Layer& layer, const Locations& locations) {
  std::vector<uint32_t> numbers;
  for (const std::string& pack : locations.packs) {
    ASSIGN_OR_RETURN(const uint32_t number, NumberOf(backend, pack));
    numbers.push_back(number);
  }
  for (size_t i = 0; i < layer.chunks.size(); ++i) {
    const ChunkLocation& at = locations.chunks[i];
    const Place place{.offset = at.offset,
                      .pack = numbers[at.pack],
                      .stored_bytes = at.stored_bytes,
                      .size_bytes = layer.chunks[i].size_bytes,
                      .compressed = at.compressed};
    const auto [known, is_new] = places_.try_emplace(layer.chunks[i].digest, place);
    if (is_new) {
      packs_[place.pack].used_bytes += place.stored_bytes;
    } else if (known->second.pack != place.pack) {
      ++converged_;
      if (Better(place, known->second)) Move(&known->second, place);
    }
  }
  return absl::OkStatus();
}

PlaceTable::Place* PlaceTable::Find(const Digest& chunk) {
  const auto it = places_.find(chunk);
  return it == places_.end() ? nullptr : &it->second;
}

void PlaceTable::Move(Place* place, const Place& to) {
  packs_[place->pack].used_bytes -= place->stored_bytes;
  *place = to;
  packs_[place->pack].used_bytes += place->stored_bytes;
}

Locations PlaceTable::LocationsOf(const Layer& layer) const {
  Locations locations;
  absl::flat_hash_map<uint32_t, uint32_t> numbers;
  for (const Chunk& chunk : layer.chunks) {
    const Place& place = places_.at(chunk.digest);
    const auto [number, is_new] =
        numbers.try_emplace(place.pack, static_cast<uint32_t>(locations.packs.size()));
    if (is_new) locations.packs.push_back(PackName(packs_[place.pack].id));
    locations.chunks.push_back(
        {number->second, place.offset, place.stored_bytes, place.compressed});
  }
  return locations;
}

}  // namespace slacker
