// Layers made by tests, as a publisher has them: what ReadLayerTar gives, from a Layer.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "backend/record/layer.h"
#include "backend/record/layer_encoder.h"

namespace slacker::testing {

// DATA_LOSS: what ValidateLayer says, and when the tar part is missing.
absl::StatusOr<LayerTables> EncodeTables(const Layer& layer);

// The objects of a layer.
struct LayerObjects {
  Digest record;      // its name
  std::string bytes;  // records/<record>
  Digest tar_part;
  std::string tar;  // tars/<record>
};
absl::StatusOr<LayerObjects> EncodeLayer(const Layer& layer);

}  // namespace slacker::testing
