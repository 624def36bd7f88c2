// What images take in a store, by the locations of their layers' chunks: exact, and cheap, since
// neither records nor chunks are read.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

struct ImageUsage {
  size_t layers = 0;
  // The chunks of its layers as they are stored; each place in a pack counts once.
  uint64_t stored_bytes = 0;
  // The part of them that another one of the images has, too: what would stay if this one went.
  uint64_t shared_bytes = 0;
};

// For images with these chain IDs; parallel to them. Two images of one chain share all of it. An
// image whose manifest or locations cannot be read has the reason instead (as StoreReader says it)
// and shares nothing. Memory: 24 bytes for each chunk of each layer. Thread-safe.
std::vector<absl::StatusOr<ImageUsage>> MeasureImages(const StoreReader& reader,
                                                      const std::vector<Digest>& chains);

}  // namespace slacker
