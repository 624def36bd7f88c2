// Packing a store anew: small packs become large ones, what nothing refers to is left out, and a
// chunk that is there twice is there once afterwards.
//
// Chunks move in the order in which the records of published images name them, so that what is read
// together lies together. Locations are replaced; packs that nothing refers to any more are
// condemned, and stay until garbage has been collected and the grace has passed (gc.h): nodes that
// have old locations find their chunks until then, and afterwards read the locations again. Indexes
// are merged at the end.
//
// It goes in rounds, so that memory does not grow with the store: as many layers as have about
// `chunks_at_once` chunks to be moved; the locations of all layers that share one of these chunks
// are replaced before the next round begins. A location is only ever replaced by one at which the
// chunk has just been read and verified.
//
// Publications may be under way, and it may end at any moment: what it has done is of use, and the
// rest is garbage.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"

namespace slacker {

struct CompactReport;

struct CompactOptions {
  uint64_t pack_target_bytes = 128 << 20;  // packs with less than half of this are small
  // A pack with less than this of its bytes in use is packed anew.
  int min_used_percent = 70;
  // If there are any: these are packed anew, and no others; and layers that no image has any more,
  // as far as they can be read, have their chunks moved out of them, too.
  std::vector<Digest> only = {};
  size_t chunks_at_once = 800'000;
  // Called before the chunks of each layer are moved, with the report so far. May be null.
  std::function<void(const CompactReport&)> observer = nullptr;
};

struct CompactReport {
  uint64_t packs_before = 0, packs_after = 0;  // in use
  uint64_t packs_written = 0;
  uint64_t bytes_written = 0;
  uint64_t chunks_moved = 0;
  uint64_t chunks_converged = 0;  // references to a copy that is left out
  uint64_t locations_replaced = 0;
  uint64_t packs_condemned = 0;
  uint64_t bytes_condemned = 0;
  uint64_t unused_bytes_left = 0;    // in packs that were not worth it
  std::vector<std::string> damaged;  // chunks that could not be moved: their packs stay
};

// DATA_LOSS: as Mark. Memory: one pack, 60 to 120 bytes for each of chunks_at_once, and what a layer
// needs. Reads every record and its locations once or more, and twice more in each round.
absl::StatusOr<CompactReport> Compact(Backend& backend, const CompactOptions& options);

}  // namespace slacker
