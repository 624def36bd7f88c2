// Whether a metadata image can be built, told from sums: without the layers themselves.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/record/layer_encoder.h"

namespace slacker {

// The most bytes that the metadata image of a chain of these layers, of all or of some of them, can
// have: merging only takes away. Then BuildErofsImage will not fail. RESOURCE_EXHAUSTED: it may or may
// not (CheckErofsImage knows): the bound is above erofs::kMaxImageBytes, which it is from some five
// million files on, or xattrs are near their limit. Thread-safe.
absl::StatusOr<uint64_t> ErofsBound(const std::vector<LayerTotals>& layers);

}  // namespace slacker
