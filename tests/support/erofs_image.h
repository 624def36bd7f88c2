// A metadata image in memory.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/status.h"
#include "backend/erofs/image_builder.h"

namespace slacker::testing {

struct BuiltImage : ErofsImage {
  std::string metadata;  // its bytes
};

inline absl::StatusOr<BuiltImage> BuildImage(const std::vector<const Layer*>& layers) {
  BuiltImage built;
  ASSIGN_OR_RETURN(static_cast<ErofsImage&>(built),
                   BuildErofsImage(layers, [&built](std::string_view bytes) {
                     built.metadata += bytes;
                     return absl::OkStatus();
                   }));
  return built;
}

}  // namespace slacker::testing
