// Cuts the content of files into chunks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backend/base/digest.h"
#include "backend/layer/tar_reader.h"
#include "backend/record/layer_encoder.h"

namespace slacker {

// Adds files and chunks. One file at a time: Begin, Write…, End. What is not
// written is a hole and costs nothing. Thread-compatible.
class Chunker {
 public:
  Chunker(LayerEncoder* layer, const ChunkSink* sink) : layer_(layer), sink_(sink) {}

  // INVALID_ARGUMENT when there are too many files or the file has too many chunks.
  absl::Status Begin(uint64_t size_bytes);
  // REQUIRES: [offset, offset + data.size()) lies within the file, after everything written before.
  absl::Status Write(uint64_t offset, std::string_view data);
  absl::Status End();

 private:
  absl::Status Store(uint32_t index, std::string_view content);
  absl::Status FlushPartial();

  LayerEncoder* const layer_;
  const ChunkSink* const sink_;
  Sha256 hash_;
  uint64_t file_bytes_ = 0;         // of the open file
  uint32_t partial_index_ = kNone;  // the chunk that partial_ holds
  std::string partial_;
};

}  // namespace slacker
