#include "backend/record/layer.h"

namespace slacker {

void AssignBlobOffsets(Layer* layer) {
  uint64_t offset = 0;
  for (Chunk& chunk : layer->chunks) {
    chunk.blob_offset = offset;
    offset += (uint64_t{chunk.size_bytes} + kBlockSize - 1) / kBlockSize * kBlockSize;
  }
  layer->blob_size_bytes = offset;
}

}  // namespace slacker
