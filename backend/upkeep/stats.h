// How large a store is, and what deduplication and compression save.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/store/store.h"

namespace slacker {

struct ImageStats {
  ImageEntry entry;
  uint64_t layers = 0;
  uint64_t content_bytes = 0;                   // of the files of all its layers
  uint64_t stored_bytes = 0, shared_bytes = 0;  // as in ImageUsage (view/image_usage.h)
};

struct StoreStats {
  uint64_t images = 0;
  uint64_t layers = 0;  // each once
  // Content, step by step.
  uint64_t logical_bytes = 0;       // of all images, each on its own
  uint64_t layer_bytes = 0;         // each layer once
  uint64_t file_bytes = 0;          // each file once
  uint64_t chunk_bytes = 0;         // each chunk once
  uint64_t stored_chunk_bytes = 0;  // the same, as stored: compressed
  uint64_t files = 0, unique_files = 0;
  uint64_t chunks = 0, unique_chunks = 0;
  // What was downloaded to publish: of all images on their own, as their registries compress them.
  uint64_t compressed_image_bytes = 0;
  // Objects.
  uint64_t pack_bytes = 0, index_bytes = 0;
  uint64_t record_bytes = 0, tar_bytes = 0, location_bytes = 0;
  uint64_t other_bytes = 0;
  uint64_t total_bytes = 0;
  uint64_t packs = 0;
  std::vector<ImageStats> per_image;  // by name
};

// Reads every record of a published image once, and every layer's locations twice. Files and chunks are
// told apart by 64 bits of their digests, which is good enough for counting. Memory: some 30 bytes for
// each chunk and file, and as MeasureImages. DATA_LOSS, NOT_FOUND: something that a published image
// needs is damaged or missing. Images that are removed meanwhile are left out.
absl::StatusOr<StoreStats> MeasureStore(Backend& backend);

}  // namespace slacker
