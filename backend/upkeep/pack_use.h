// The packs that locations lead to, and how much of each is in use. Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

// Packs by number. A chunk that is in several of them counts for the best one: the largest.
class PackTable {
 public:
  struct Pack {
    Digest id;
    uint64_t bytes = 0;       // 0 = missing, or not written yet
    uint64_t used_bytes = 0;  // of the chunks that count for it
  };

  // Reads size and presence of a pack that was not seen before.
  absl::StatusOr<uint32_t> NumberOf(Backend& backend, const std::string& name);
  // The numbers of the packs of `locations`, parallel to them.
  absl::StatusOr<std::vector<uint32_t>> NumbersOf(Backend& backend, const Locations& locations);
  // Of a pack that is being written: the caller fills in the rest.
  uint32_t NewPack();
  bool IsBetter(uint32_t pack, uint32_t than) const;

  Pack& operator[](uint32_t number) { return packs_[number]; }
  const Pack& operator[](uint32_t number) const { return packs_[number]; }
  uint32_t size() const { return static_cast<uint32_t>(packs_.size()); }

 private:
  std::vector<Pack> packs_;
  absl::flat_hash_map<Digest, uint32_t> numbers_;
};

// Calls its argument for each layer, with its record's digest.
using LayerVisit = std::function<absl::Status(const Digest& record, const Layer& layer,
                                              const Locations& locations)>;
using ForEachLayer = std::function<absl::Status(const LayerVisit& visit)>;

// Fills in how much of each pack is in use. Visits all layers once for each `rows_at_once` / 2 chunks
// that they have, at most; memory: 16 bytes for each of `rows_at_once`. Chunks are told apart by the
// first 8 bytes of their digests: one in 300,000 stores of 10 million chunks counts one of them less.
absl::Status MeasurePackUse(Backend& backend, const ForEachLayer& for_each_layer,
                            size_t rows_at_once, PackTable* packs);

}  // namespace slacker
