#include "backend/upkeep/compact.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/index_file.h"
#include "backend/store/locations_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/store.h"
#include "backend/upkeep/chunk_mover.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/pack_use.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

// Rows of MeasurePackUse for each chunk of a round: smaller ones, and at another time.
constexpr size_t kRowsForChunk = 10;
constexpr int kMaxAttempts = 8;

class Compaction {
 public:
  Compaction(Backend* backend, const CompactOptions& options)
      : backend_(backend),
        options_(options),
        reader_(std::shared_ptr<ReadBackend>(backend, [](ReadBackend* /*not ours*/) {})),
        intent_(backend),
        mover_(backend, options.pack_target_bytes, &packs_, &chosen_, &report_) {}

  absl::StatusOr<CompactReport> Run() {
    RETURN_IF_ERROR(FindRecords());
    const auto visit_all = [this](const LayerVisit& visit) { return Visit(0, ~size_t{0}, visit); };
    RETURN_IF_ERROR(
        MeasurePackUse(*backend_, visit_all, options_.chunks_at_once * kRowsForChunk, &packs_));
    before_ = packs_.size();
    report_.packs_before = before_;
    ChoosePacks();
    for (size_t next = 0; next < records_.size() && !chosen_.empty();)
      RETURN_IF_ERROR(Round(&next));
    SLACKER_FAILPOINT("compact.located");
    RETURN_IF_ERROR(CondemnPacks());
    ASSIGN_OR_RETURN(const IndexCatalog catalog, OpenIndexes(*backend_));
    RETURN_IF_ERROR(MergeIndexes(*backend_, catalog).status());
    return std::move(report_);
  }

 private:
  absl::Status FindRecords() {
    ASSIGN_OR_RETURN(const int64_t now, StoreNow(*backend_));
    ASSIGN_OR_RETURN(Marks marks, Mark(*backend_, {.now = now, .packs = false}));
    records_ = std::move(marks.record_order);
    if (options_.only.empty()) return absl::OkStatus();
    const absl::flat_hash_set<Digest> known(records_.begin(), records_.end());
    ASSIGN_OR_RETURN(const auto names, backend_->List(kRecordsPrefix));
    for (const std::string& name : names) {
      const auto record = ParseDigestName(name, kRecordsPrefix);
      if (!record.ok() || known.contains(*record)) continue;
      const auto object = reader_.ReadRecord(*record);
      const auto locations =
          object.ok() ? reader_.ReadLocations(*record, object->layer.chunks.size()).status()
                      : object.status();
      if (locations.ok()) records_.push_back(*record);
      if (absl::IsUnavailable(locations)) return locations;
    }
    return absl::OkStatus();
  }

  // The layers of published images, each once, in their order: `end` - `first` of them. Repair passes
  // over those whose records are damaged, for the sake of the others that the pack has chunks of.
  absl::Status Visit(size_t first, size_t end, const LayerVisit& visit) {
    for (size_t i = first; i < std::min(end, records_.size()); ++i) {
      const auto object = reader_.ReadRecord(records_[i]);
      if (!options_.only.empty() && IsLost(object.status())) continue;
      RETURN_IF_ERROR(object.status());
      ASSIGN_OR_RETURN(const Locations locations,
                       reader_.ReadLocations(records_[i], object->layer.chunks.size()));
      RETURN_IF_ERROR(visit(records_[i], object->layer, locations));
    }
    return absl::OkStatus();
  }

  // Small packs are only worth it when there are two of them.
  void ChoosePacks() {
    std::vector<uint32_t> small;
    for (uint32_t i = 0; i < packs_.size(); ++i) {
      const PackTable::Pack& pack = packs_[i];
      if (!options_.only.empty()) {
        const auto& only = options_.only;
        if (std::find(only.begin(), only.end(), pack.id) != only.end()) chosen_.insert(i);
        continue;
      }
      if (pack.bytes == 0) continue;
      if (pack.used_bytes * 100 < pack.bytes * static_cast<uint64_t>(options_.min_used_percent)) {
        chosen_.insert(i);
      } else if (pack.bytes < options_.pack_target_bytes / 2) {
        small.push_back(i);
      } else {
        report_.unused_bytes_left += pack.bytes - pack.used_bytes;
      }
    }
    if (small.size() + chosen_.size() > 1) chosen_.insert(small.begin(), small.end());
  }

  absl::Status Round(size_t* next) {
    const size_t first = *next;
    do {
      RETURN_IF_ERROR(
          Visit(*next, *next + 1,
                [this](const Digest& /*record*/, const Layer& layer, const Locations& locations) {
                  return Gather(layer, locations);
                }));
      ++*next;
    } while (*next < records_.size() && places_.size() < options_.chunks_at_once);
    RETURN_IF_ERROR(Visit(0, records_.size(),
                          [this](const Digest& /*record*/, const Layer& layer,
                                 const Locations& locations) { return Offer(layer, locations); }));
    RETURN_IF_ERROR(
        Visit(first, *next,
              [this](const Digest& /*record*/, const Layer& layer, const Locations& /*locations*/) {
                if (options_.observer) options_.observer(report_);
                return mover_.Move(layer, &places_);
              }));
    // A pack that is not full yet goes on in the next round, unless its chunks fill that.
    if (*next == records_.size() || mover_.open_chunks() > options_.chunks_at_once / 2) {
      RETURN_IF_ERROR(mover_.Finish());
    }
    SLACKER_FAILPOINT("compact.packed");
    RETURN_IF_ERROR(ReplaceLocations());
    absl::erase_if(places_,
                   [this](const auto& place) { return !mover_.IsOpen(place.second.pack); });
    return absl::OkStatus();
  }

  // Chunks in packs that are packed anew.
  absl::Status Gather(const Layer& layer, const Locations& locations) {
    ASSIGN_OR_RETURN(const auto numbers, packs_.NumbersOf(*backend_, locations));
    for (size_t i = 0; i < layer.chunks.size(); ++i) {
      const ChunkLocation& at = locations.chunks[i];
      if (chosen_.contains(numbers[at.pack])) {
        places_.try_emplace(layer.chunks[i].digest, PlaceOf(layer.chunks[i], at, numbers));
      }
    }
    return absl::OkStatus();
  }

  static Place PlaceOf(const Chunk& chunk, const ChunkLocation& at,
                       const std::vector<uint32_t>& numbers) {
    return {.offset = at.offset,
            .pack = numbers[at.pack],
            .stored_bytes = at.stored_bytes,
            .size_bytes = chunk.size_bytes,
            .compressed = at.compressed};
  }

  // Of several copies one in a pack that stays, or else the one in the best pack.
  absl::Status Offer(const Layer& layer, const Locations& locations) {
    ASSIGN_OR_RETURN(const auto numbers, packs_.NumbersOf(*backend_, locations));
    for (size_t i = 0; i < layer.chunks.size(); ++i) {
      const auto known = places_.find(layer.chunks[i].digest);
      const uint32_t pack = numbers[locations.chunks[i].pack];
      if (known == places_.end() || known->second.settled || known->second.pack == pack) continue;
      ++report_.chunks_converged;
      const bool stays = !chosen_.contains(pack);
      const bool better = stays == !chosen_.contains(known->second.pack)
                              ? packs_.IsBetter(pack, known->second.pack)
                              : stays;
      if (better && packs_[pack].bytes > 0) {
        known->second = PlaceOf(layer.chunks[i], locations.chunks[i], numbers);
      }
    }
    return absl::OkStatus();
  }

  // Whether locations may lead there: not into the pack that is still being filled.
  bool IsSettled(const Place& place) const { return place.settled && packs_[place.pack].bytes > 0; }

  absl::Status ReplaceLocations() {
    StoreReferences relied_on;
    for (const auto& [digest, place] : places_) {
      if (IsSettled(place)) relied_on.packs.insert(packs_[place.pack].id);
    }
    if (relied_on.packs.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(intent_.Declare(relied_on));
    RETURN_IF_ERROR(intent_.CheckPacks());
    return Visit(
        0, records_.size(),
        [this](const Digest& record, const Layer& layer, const Locations& present) -> absl::Status {
          ASSIGN_OR_RETURN(const std::string before, EncodeLocations(present, record));
          const Locations relocated = Relocate(layer, present);
          ASSIGN_OR_RETURN(const std::string bytes, EncodeLocations(relocated, record));
          if (bytes == before) return absl::OkStatus();
          ASSIGN_OR_RETURN(const bool reliable, RelyOn(record, relocated, before));
          if (!reliable) return absl::OkStatus();
          RETURN_IF_ERROR(backend_->Replace(LocationsName(record), bytes));
          ++report_.locations_replaced;
          SLACKER_FAILPOINT("compact.location_replaced");
          return absl::OkStatus();
        });
  }

  // What stays as it was is written once more, too, and a publisher may have replaced it since it was
  // read, because a collection was about to remove it. Whether `locations` can be relied on; otherwise
  // the record is left to the next compaction.
  absl::StatusOr<bool> RelyOn(const Digest& record, const Locations& locations,
                              const std::string& before) {
    StoreReferences relied_on;
    for (const std::string& pack : locations.packs) {
      ASSIGN_OR_RETURN(const Digest id, ParsePackName(pack));
      relied_on.packs.insert(id);
    }
    RETURN_IF_ERROR(intent_.Declare(relied_on));
    const absl::Status reliable = intent_.CheckPacks();
    if (!absl::IsAborted(reliable)) {
      RETURN_IF_ERROR(reliable);
      return true;
    }
    for (const Digest& pack : intent_.gone()) {
      ASSIGN_OR_RETURN(const uint32_t number, packs_.NumberOf(*backend_, PackName(pack)));
      if (packs_[number].bytes > 0) return false;
    }
    // They led nowhere when this began, and nobody has mended that.
    const auto now = backend_->ReadWhole(LocationsName(record), before.size());
    return now.ok() && *now == before;
  }

  Locations Relocate(const Layer& layer, const Locations& present) const {
    Locations locations;
    absl::flat_hash_map<std::string, uint32_t> numbers;
    for (size_t i = 0; i < layer.chunks.size(); ++i) {
      ChunkLocation at = present.chunks[i];
      std::string pack = present.packs[at.pack];
      const auto found = places_.find(layer.chunks[i].digest);
      if (found != places_.end() && IsSettled(found->second)) {
        const Place& place = found->second;
        pack = PackName(packs_[place.pack].id);
        at = {0, place.offset, place.stored_bytes, place.compressed};
      }
      const auto [number, is_new] =
          numbers.try_emplace(pack, static_cast<uint32_t>(locations.packs.size()));
      if (is_new) locations.packs.push_back(pack);
      at.pack = number->second;
      locations.chunks.push_back(at);
    }
    return locations;
  }

  // Those that were in use before and are not any more. Whether somebody has come to use one
  // meanwhile is for the collection to see, before it removes anything.
  absl::Status CondemnPacks() {
    absl::flat_hash_set<Digest> used;
    for (const Digest& record : records_) {
      const auto bytes = backend_->ReadWhole(LocationsName(record), kMaxLocationsBytes);
      const auto packs = bytes.ok() ? DecodePacksOfLocations(*bytes, record) : bytes.status();
      // With the record they are lost: nobody can tell what it needs, until it is published again.
      if (!options_.only.empty() && IsLost(packs.status())) return absl::OkStatus();
      RETURN_IF_ERROR(packs.status());
      used.insert(packs->begin(), packs->end());
    }
    report_.packs_after = used.size();
    for (uint32_t i = 0; i < before_; ++i) {
      const PackTable::Pack& pack = packs_[i];
      if (used.contains(pack.id) || pack.bytes == 0) continue;
      RETURN_IF_ERROR(Condemn(*backend_, PackIndexName(pack.id)));
      RETURN_IF_ERROR(Condemn(*backend_, PackName(pack.id)));
      SLACKER_FAILPOINT("compact.condemned");
      ++report_.packs_condemned;
      report_.bytes_condemned += pack.bytes;
    }
    return absl::OkStatus();
  }

  Backend* const backend_;
  const CompactOptions options_;
  const StoreReader reader_;
  Intent intent_;
  std::vector<Digest> records_;
  PackTable packs_;
  uint32_t before_ = 0;                   // packs of the table that are not ours
  absl::flat_hash_set<uint32_t> chosen_;  // packs to be packed anew
  Places places_;                         // of the round's chunks
  CompactReport report_;
  ChunkMover mover_;
};

}  // namespace

absl::StatusOr<CompactReport> Compact(Backend& backend, const CompactOptions& options) {
  auto report = Compaction(&backend, options).Run();
  // A collection was about to remove what it relied on: the next one sees that.
  for (int again = 1; absl::IsAborted(report.status()) && again < kMaxAttempts; ++again) {
    report = Compaction(&backend, options).Run();
  }
  if (absl::IsAborted(report.status())) {
    return Unavailable(Message(report.status()) + ", try again");
  }
  return report;
}

}  // namespace slacker
