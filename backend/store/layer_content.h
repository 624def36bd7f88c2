// The content of one layer, chunk after chunk, for those who want most of it in order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/store/store.h"

namespace slacker {

// Some 4 MiB of neighbouring chunks are fetched together, and the next ones are always on their
// way: two such windows are held at most. When chunks have been moved meanwhile, their locations
// are read again, once. Thread-compatible.
class LayerContent {
 public:
  // Chunks from `end` on are never asked for. REQUIRES: `locations` are those of `record`, whose
  // layer is `layer`; `reader` and `layer` outlive this.
  LayerContent(const StoreReader* reader, const Digest& record, const Layer* layer,
               Locations locations, uint32_t end);
  ~LayerContent();
  LayerContent(const LayerContent&) = delete;
  LayerContent& operator=(const LayerContent&) = delete;

  // A verified chunk, or the error of StoreReader::ReadChunksAsync; valid until the call after the
  // next. REQUIRES: chunk < end.
  const absl::StatusOr<std::string>& Get(uint32_t chunk);

 private:
  class Window;
  std::unique_ptr<Window> Fetch(uint32_t first) const;
  const absl::StatusOr<std::string>& Find(uint32_t chunk);

  const StoreReader* const reader_;
  const Digest record_;
  const Layer* const layer_;
  Locations locations_;
  const uint32_t end_;
  bool located_again_ = false;
  std::unique_ptr<Window> current_;
  std::unique_ptr<Window> next_;
};

}  // namespace slacker
