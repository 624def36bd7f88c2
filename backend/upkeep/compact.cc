#include "backend/upkeep/compact.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/index_file.h"
#include "backend/store/locations_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/store.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/place_table.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

using Place = PlaceTable::Place;

constexpr uint64_t kMaxReadBytes = 4 << 20;
constexpr uint64_t kMaxGapBytes = 64 << 10;

class Compaction {
 public:
  Compaction(Backend* backend, const CompactOptions& options)
      : backend_(backend),
        options_(options),
        reader_(std::shared_ptr<ReadBackend>(backend, [](ReadBackend* /*not ours*/) {})),
        intent_(backend) {}

  absl::StatusOr<CompactReport> Run() {
    ASSIGN_OR_RETURN(const int64_t now, StoreNow(*backend_));
    ASSIGN_OR_RETURN(marks_, Mark(*backend_, {.now = now}));
    RETURN_IF_ERROR(ForEachLayer(
        [this](const Digest& /*record*/, const Layer& layer, const Locations& locations) {
          return table_.Add(*backend_, layer, locations);
        }));
    before_ = table_.packs().size();
    report_.packs_before = before_;
    ChoosePacks();
    BeginPack();
    RETURN_IF_ERROR(
        ForEachLayer([this](const Digest& /*record*/, const Layer& layer,
                            const Locations& /*locations*/) { return MoveChunks(layer); }));
    RETURN_IF_ERROR(WritePack());
    SLACKER_FAILPOINT("compact.packed");
    RETURN_IF_ERROR(ReplaceLocations());
    SLACKER_FAILPOINT("compact.located");
    RETURN_IF_ERROR(CondemnPacks());
    ASSIGN_OR_RETURN(const IndexCatalog catalog, OpenIndexes(*backend_));
    RETURN_IF_ERROR(MergeIndexes(*backend_, catalog).status());
    intent_.Clear();
    return std::move(report_);
  }

 private:
  // The layers of published images, each once, in their order.
  template <typename Function>
  absl::Status ForEachLayer(Function function) {
    for (const Digest& record : marks_.record_order) {
      ASSIGN_OR_RETURN(const RecordObject object, reader_.ReadRecord(record));
      ASSIGN_OR_RETURN(const Locations locations,
                       reader_.ReadLocations(record, object.layer.chunks.size()));
      RETURN_IF_ERROR(function(record, object.layer, locations));
    }
    return absl::OkStatus();
  }

  // Small packs are only worth it when there are two of them.
  void ChoosePacks() {
    if (!options_.only.empty()) {
      for (uint32_t i = 0; i < table_.packs().size(); ++i) {
        if (std::count(options_.only.begin(), options_.only.end(), table_.packs()[i].id) > 0) {
          chosen_.insert(i);
        }
      }
      return;
    }
    std::vector<uint32_t> small;
    const auto& packs = table_.packs();
    for (uint32_t i = 0; i < packs.size(); ++i) {
      if (packs[i].bytes == 0 || packs[i].used_bytes == 0) continue;
      const bool wasteful = packs[i].used_bytes * 100 <
                            packs[i].bytes * static_cast<uint64_t>(options_.min_used_percent);
      if (wasteful) {
        chosen_.insert(i);
      } else if (packs[i].bytes < options_.pack_target_bytes / 2) {
        small.push_back(i);
      } else {
        report_.unused_bytes_left += packs[i].bytes - packs[i].used_bytes;
      }
    }
    if (small.size() + chosen_.size() > 1) chosen_.insert(small.begin(), small.end());
  }

  void BeginPack() {
    open_number_ = table_.NewPack();
    open_ = PackHeader();
    chunks_.clear();
  }

  absl::Status MoveChunks(const Layer& layer) {
    std::vector<const Chunk*> run;
    for (const Chunk& chunk : layer.chunks) {
      const Place* place = table_.Find(chunk.digest);
      if (place == nullptr || !chosen_.contains(place->pack) ||
          !moving_.insert(chunk.digest).second) {
        continue;
      }
      if (!run.empty() &&
          !Follows(*table_.Find(run.front()->digest), *table_.Find(run.back()->digest), *place)) {
        RETURN_IF_ERROR(MoveRun(run));
        run.clear();
      }
      run.push_back(&chunk);
    }
    if (!run.empty()) RETURN_IF_ERROR(MoveRun(run));
    moving_.clear();
    return absl::OkStatus();
  }

  static bool Follows(const Place& first, const Place& last, const Place& next) {
    const uint64_t end = last.offset + last.stored_bytes;
    return next.pack == first.pack && next.offset >= end && next.offset - end <= kMaxGapBytes &&
           next.offset + next.stored_bytes - first.offset <= kMaxReadBytes;
  }

  // Neighbours in one pack: one read.
  absl::Status MoveRun(const std::vector<const Chunk*>& run) {
    const Place first = *table_.Find(run.front()->digest);
    const Place last = *table_.Find(run.back()->digest);
    const std::string name = PackName(table_.packs()[first.pack].id);
    const auto read =
        backend_->Read(name, first.offset, last.offset + last.stored_bytes - first.offset);
    if (!read.ok() && !absl::IsNotFound(read.status()) && !absl::IsDataLoss(read.status())) {
      return read.status();
    }
    for (const Chunk* chunk : run) {
      Place* place = table_.Find(chunk->digest);
      const uint64_t at = place->offset - first.offset;
      if (!read.ok() || at + place->stored_bytes > read->size() ||
          !IsSound(*chunk, *place, std::string_view(*read).substr(at, place->stored_bytes))) {
        report_.damaged.push_back(chunk->digest.ToString() + " in " + name);
        continue;
      }
      RETURN_IF_ERROR(
          Append(place, chunk->digest, std::string_view(*read).substr(at, place->stored_bytes)));
    }
    return absl::OkStatus();
  }

  static bool IsSound(const Chunk& chunk, const Place& place, std::string_view stored) {
    std::string bytes;
    if (place.compressed && !DecompressExactly(stored, chunk.size_bytes, &bytes).ok()) return false;
    return Sha256::Of(place.compressed ? std::string_view(bytes) : stored) == chunk.digest;
  }

  absl::Status Append(Place* place, const Digest& digest, std::string_view stored) {
    if (open_.size() + stored.size() > options_.pack_target_bytes && !chunks_.empty()) {
      RETURN_IF_ERROR(WritePack());
      BeginPack();
    }
    Place to = *place;
    to.pack = open_number_;
    to.offset = open_.size();
    chunks_.push_back({.digest = digest,
                       .offset = to.offset,
                       .stored_bytes = to.stored_bytes,
                       .size_bytes = to.size_bytes,
                       .compressed = to.compressed});
    open_ += stored;
    table_.Move(place, to);
    ++report_.chunks_moved;
    return absl::OkStatus();
  }

  absl::Status WritePack() {
    if (chunks_.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto trash, backend_->List(kTrashPrefix));
    const std::set<std::string> condemned(trash.begin(), trash.end());
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
    PlaceTable::Pack& pack = table_.packs()[open_number_];
    pack.id = id;
    pack.bytes = open_.size();
    ++report_.packs_written;
    report_.bytes_written += open_.size();
    return absl::OkStatus();
  }

  absl::Status ReplaceLocations() {
    StoreReferences relied_on;
    for (const PlaceTable::Pack& pack : table_.packs()) {
      if (pack.used_bytes > 0 && pack.bytes > 0) relied_on.packs.insert(pack.id);
    }
    report_.packs_after = relied_on.packs.size();
    RETURN_IF_ERROR(intent_.Declare(relied_on));
    RETURN_IF_ERROR(intent_.CheckPacks());
    return ForEachLayer([this](const Digest& record, const Layer& layer, const Locations& present) {
      ASSIGN_OR_RETURN(const std::string before, EncodeLocations(present, record));
      ASSIGN_OR_RETURN(const std::string bytes, EncodeLocations(table_.LocationsOf(layer), record));
      if (bytes == before) return absl::OkStatus();
      RETURN_IF_ERROR(ReplaceDespiteTrash(*backend_, LocationsName(record), bytes));
      ++report_.locations_replaced;
      SLACKER_FAILPOINT("compact.location_replaced");
      return absl::OkStatus();
    });
  }

  // Those that were in use before and are not any more. Whether somebody has come to use one
  // meanwhile is for the collection to see, before it removes anything.
  absl::Status CondemnPacks() {
    for (size_t i = 0; i < before_; ++i) {
      const PlaceTable::Pack& pack = table_.packs()[i];
      if (pack.used_bytes > 0 || pack.bytes == 0) continue;
      RETURN_IF_ERROR(Condemn(*backend_, PackIndexName(pack.id)));
      RETURN_IF_ERROR(Condemn(*backend_, PackName(pack.id)));
      SLACKER_FAILPOINT("compact.condemned");
      ++report_.packs_condemned;
      report_.bytes_condemned += pack.bytes;
    }
    report_.chunks_converged = table_.converged();
    return absl::OkStatus();
  }

  Backend* const backend_;
  const CompactOptions options_;
  const StoreReader reader_;
  Intent intent_;
  Marks marks_;
  PlaceTable table_;
  size_t before_ = 0;                     // packs of the table that are not ours
  absl::flat_hash_set<uint32_t> chosen_;  // packs to be packed anew
  absl::flat_hash_set<Digest> moving_;    // of the layer at hand
  uint32_t open_number_ = 0;
  std::string open_;
  std::vector<PackedChunk> chunks_;
  CompactReport report_;
};

}  // namespace

absl::StatusOr<CompactReport> Compact(Backend& backend, const CompactOptions& options) {
  return Compaction(&backend, options).Run();
}

}  // namespace slacker
