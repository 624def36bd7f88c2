// Which layers a store has already. The manifest of a chain tells, if it counts with the publisher's
// keys and is granted to the image's own readers; that of the image's chain, or of any other that ends
// in the layer (docs/adr/0018). One thread.
#pragma once

#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/known_chunks.h"
#include "backend/store/store.h"

namespace slacker {

class KnownLayers {
 public:
  // `reader`: believes whom the publisher believes. All of them outlive this.
  KnownLayers(Backend* backend, const StoreReader* reader, KnownChunks* chunks)
      : backend_(backend), reader_(reader), chunks_(chunks) {}

  // StoreWriter::FindRecord. One round trip for a layer that is known by its chain; for others one more,
  // and two for each chain that is looked at, of which there are at most 16 for each of two readers.
  absl::StatusOr<std::optional<StoreWriter::KnownLayer>> Find(const Digest& chain_id,
                                                              const std::string& repository,
                                                              const Digest& diff_id) const;
  // StoreWriter::HasLayer: what the layer adds up to, or nothing.
  absl::StatusOr<std::optional<LayerTotals>> Check(const ManifestLayer& layer) const;

 private:
  // Through this chain alone. Records in `tried` do not count; one that is looked at is added.
  absl::StatusOr<std::optional<StoreWriter::KnownLayer>> FindInChain(
      const Digest& chain_id, const std::string& repository, const Digest& diff_id,
      absl::flat_hash_set<Digest>* tried) const;
  // Reads what there is of a layer, and the locations last.
  absl::StatusOr<Locations> CheckLayer(const ManifestLayer& expected, LayerTotals* totals) const;
  absl::StatusOr<bool> HasPacks(const Locations& locations) const;

  Backend* const backend_;
  const StoreReader* const reader_;
  KnownChunks* const chunks_;
};

}  // namespace slacker
