// Every chunk that published layers refer to, and where it is. Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

class PlaceTable {
 public:
  struct Place {
    uint64_t offset = 0;
    uint32_t pack = 0;  // number
    uint32_t stored_bytes = 0;
    uint32_t size_bytes = 0;
    bool compressed = false;
  };
  struct Pack {
    Digest id;
    uint64_t bytes = 0;       // 0 = missing
    uint64_t used_bytes = 0;  // of the chunks whose place is here
  };

  // Reads size and presence of a pack that was not seen before.
  absl::StatusOr<uint32_t> NumberOf(Backend& backend, const std::string& name);
  // Of a pack that is being written; SetId tells its name.
  uint32_t NewPack();

  // Adds the chunks of a layer. Of two places of one chunk the one in the larger pack counts.
  absl::Status Add(Backend& backend, const Layer& layer, const Locations& locations);
  Place* Find(const Digest& chunk);
  void Move(Place* place, const Place& to);
  // The locations that the table has for a layer. REQUIRES: all chunks have been added.
  Locations LocationsOf(const Layer& layer) const;

  std::vector<Pack>& packs() { return packs_; }
  uint64_t converged() const { return converged_; }

 private:
  bool Better(const Place& a, const Place& b) const;

  absl::flat_hash_map<Digest, Place> places_;
  absl::flat_hash_map<Digest, uint32_t> numbers_;
  std::vector<Pack> packs_;
  uint64_t converged_ = 0;
};

}  // namespace slacker
