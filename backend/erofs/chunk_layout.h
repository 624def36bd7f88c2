// How a regular file becomes EROFS chunk indexes. EROFS knows one chunk size a file, a power of two
// of blocks, and for each chunk one run of blocks on a device, or a hole. The layout here is exact:
// what is a hole in the layer is one in the image, and nothing else is; and it is the coarsest that
// is: a file without holes has a single index (up to 8 TiB).
#pragma once

#include <cstdint>
#include <span>

#include "backend/erofs/erofs_format.h"
#include "backend/record/layer.h"

namespace slacker::erofs {

struct ChunkLayout {
  uint32_t block_bits = 0;  // log2 of the blocks in a chunk
  uint64_t count = 0;       // number of indexes
};

// REQUIRES: a file of a layer that passed ValidateLayer, not empty.
ChunkLayout LayOutFile(const Layer& layer, const File& file);

// Fills `indexes`, whose size is LayOutFile(...).count; `device` is the layer's device ID.
void FillChunkIndexes(const Layer& layer, const File& file, uint32_t block_bits, uint16_t device,
                      std::span<ChunkIndex> indexes);

}  // namespace slacker::erofs
