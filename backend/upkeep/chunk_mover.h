// The part of compaction that moves chunks: reads and verifies them, and writes packs.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/pack_use.h"

namespace slacker {

// Where a chunk is.
struct Place {
  uint64_t offset = 0;
  uint32_t pack = 0;  // number in the PackTable
  uint32_t stored_bytes = 0;
  uint32_t size_bytes = 0;
  bool compressed = false;
  bool settled = false;  // read there and verified, or moved there: locations may lead to it
};
using Places = absl::flat_hash_map<Digest, Place>;

class ChunkMover {
 public:
  // Moves what is in the `chosen` packs; adds what it did to `report`. All outlive the mover.
  ChunkMover(Backend* backend, uint64_t pack_target_bytes, PackTable* packs,
             const absl::flat_hash_set<uint32_t>* chosen, CompactReport* report);

  // Settles those chunks of a layer that `places` has, in their order, unless they are damaged. A
  // pack is written when it is full.
  absl::Status Move(const Layer& layer, Places* places);
  // Writes the pack that is not full yet, if there is one.
  absl::Status Finish();
  size_t open_chunks() const { return chunks_.size(); }
  // Whether it is the pack that is not written yet.
  bool IsOpen(uint32_t pack) const { return pack == open_number_ && (*packs_)[pack].bytes == 0; }

 private:
  void BeginPack();
  absl::Status MoveRun(const std::vector<const Chunk*>& run, Places* places);
  absl::Status Append(Place* place, const Digest& digest, std::string_view stored);

  Backend* const backend_;
  const uint64_t pack_target_bytes_;
  PackTable* const packs_;
  const absl::flat_hash_set<uint32_t>* const chosen_;
  CompactReport* const report_;
  uint32_t open_number_ = std::numeric_limits<uint32_t>::max();  // none yet
  std::string open_;
  std::vector<PackedChunk> chunks_;  // of the open pack
};

}  // namespace slacker
