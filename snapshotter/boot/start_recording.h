// One start while it is watched: which pages of an image's blobs are read, in what order.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "backend/store/start_trace.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

// Thread-compatible. Memory: some 50 bytes for each page read, of at most kMaxTracePages.
class StartRecording {
 public:
  // `layers`: of the image, bottom first.
  StartRecording(const Digest& chain_id, const std::vector<BlobRow>& layers);

  // A read of [offset, offset + size) of a blob; reads of others are ignored. True when the image has
  // this blob.
  bool Note(uint64_t blob_id, uint64_t offset, uint32_t size);

  bool empty() const { return trace_.ranges.empty(); }
  // Nothing more goes into a trace.
  bool IsFull() const { return seen_.size() >= kMaxTracePages; }
  const StartTrace& trace() const { return trace_; }

 private:
  struct Blob {
    uint32_t layer;
    uint64_t pages;
  };

  StartTrace trace_;
  absl::flat_hash_map<uint64_t, Blob> blobs_;                // by ID
  absl::flat_hash_set<std::pair<uint32_t, uint32_t>> seen_;  // layer, page
};

}  // namespace slacker
