#include "backend/store/known_layers.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

// Of those that the layer is known on; what they cost must stay below a download.
constexpr size_t kMaxChainsTried = 16;

}  // namespace

absl::StatusOr<bool> KnownLayers::HasPacks(const Locations& locations) const {
  std::vector<uint64_t> ends(locations.packs.size(), 1);  // an empty pack is none
  for (const ChunkLocation& chunk : locations.chunks) {
    ends[chunk.pack] = std::max(ends[chunk.pack], chunk.offset + chunk.stored_bytes);
  }
  for (size_t i = 0; i < ends.size(); ++i) {
    ASSIGN_OR_RETURN(const bool whole, chunks_->HasPack(locations.packs[i], ends[i]));
    if (!whole) return false;
  }
  return true;
}

absl::StatusOr<std::optional<StoreWriter::KnownLayer>> KnownLayers::Find(
    const Digest& chain_id, const std::string& repository, const Digest& diff_id) const {
  absl::flat_hash_set<Digest> tried;
  ASSIGN_OR_RETURN(auto known, FindInChain(chain_id, repository, diff_id, &tried));
  if (known.has_value()) return known;
  // On another base? The names only say where to look: what counts is the manifest.
  std::vector<std::string> readers = {""};
  if (!repository.empty()) readers.push_back(repository);
  for (const std::string& reader : readers) {
    ASSIGN_OR_RETURN(auto names, backend_->List(LayerChainsPrefix(diff_id, reader)));
    names.resize(std::min(names.size(), kMaxChainsTried));
    for (const std::string& name : names) {
      const auto parsed = ParseLayerChainName(name);
      if (!parsed.ok() || parsed->chain_id == chain_id) continue;
      ASSIGN_OR_RETURN(known, FindInChain(parsed->chain_id, repository, diff_id, &tried));
      if (known.has_value()) return known;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<StoreWriter::KnownLayer>> KnownLayers::FindInChain(
    const Digest& chain_id, const std::string& repository, const Digest& diff_id,
    absl::flat_hash_set<Digest>* tried) const {
  const auto granted = reader_->ReadGrantedManifest(chain_id, repository);
  // What is damaged, or not signed as it should be, is written anew at the end.
  if (absl::IsNotFound(granted.status()) || absl::IsDataLoss(granted.status()) ||
      absl::IsFailedPrecondition(granted.status()) || absl::IsUnauthenticated(granted.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(granted.status());
  const ManifestLayer& top = granted->manifest.layers.back();
  if (top.diff_id != diff_id || !tried->insert(top.record).second) return std::nullopt;
  ASSIGN_OR_RETURN(const std::optional<LayerTotals> totals, Check(top));
  if (!totals.has_value()) return std::nullopt;
  return StoreWriter::KnownLayer{.record = top.record, .totals = *totals};
}

absl::StatusOr<std::optional<LayerTotals>> KnownLayers::Check(const ManifestLayer& layer) const {
  LayerTotals totals;
  const absl::StatusOr<Locations> locations = CheckLayer(layer, &totals);
  if (absl::IsNotFound(locations.status()) || absl::IsDataLoss(locations.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(locations.status());
  ASSIGN_OR_RETURN(const bool whole, HasPacks(*locations));
  if (!whole) return std::nullopt;
  return totals;
}

absl::StatusOr<Locations> KnownLayers::CheckLayer(const ManifestLayer& expected,
                                                  LayerTotals* totals) const {
  ASSIGN_OR_RETURN(DecodedRecord record, reader_->ReadLayer(expected.record));
  if (record.layer.diff_id != expected.diff_id) return DataLoss("record of another layer");
  *totals = TotalsOf(record.layer);
  const size_t chunks = record.layer.chunks.size();
  record.layer.DropTree();
  record.layer.chunks = {};
  ASSIGN_OR_RETURN(TarPartReader tar, reader_->OpenTarPart(expected.record, record));
  RETURN_IF_ERROR(tar.Finish());
  return reader_->ReadLocations(expected.record, chunks);
}

}  // namespace slacker
