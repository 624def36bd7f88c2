// Reads a tar into a layer and its chunks, and back.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "backend/layer/tar_reader.h"
#include "backend/record/layer.h"
#include "backend/record/layer_codec.h"

namespace slacker::testing {

struct ReadLayer {
  Layer layer;
  std::unordered_map<Digest, std::string> chunks;
  std::string tar;  // the object of its tar part, and that one's digest
  Digest tar_part;
};

// By way of its record: what a node makes of the tar.
absl::StatusOr<ReadLayer> Read(std::string_view tar, uint32_t chunk_size = 4096,
                               const TarLimits& limits = {}, size_t step = 1 << 20);

absl::StatusOr<TarPartReader> OpenTar(const ReadLayer& read);
absl::StatusOr<Digest> Rebuild(const ReadLayer& read, std::string* tar);

// Everything in a layer as text: equal for equal layers.
std::string Describe(const Layer& layer);

}  // namespace slacker::testing
