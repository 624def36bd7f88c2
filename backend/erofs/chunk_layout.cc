#include "backend/erofs/chunk_layout.h"

#include <algorithm>
#include <bit>

namespace slacker::erofs {
namespace {

uint64_t Blocks(uint64_t bytes) { return bytes / kBlockSize + (bytes % kBlockSize != 0 ? 1 : 0); }

std::span<const Chunk> ChunksOf(const Layer& layer, const File& file) {
  return std::span(layer.chunks).subspan(file.first_chunk, file.chunk_count);
}

}  // namespace

ChunkLayout LayOutFile(const Layer& layer, const File& file) {
  const uint64_t layer_chunk_blocks = layer.chunk_size / kBlockSize;
  const uint64_t layer_chunks =
      file.size_bytes / layer.chunk_size + (file.size_bytes % layer.chunk_size != 0 ? 1 : 0);
  // The bits of every position at which data begins or ends: the chunk size must divide them all.
  uint64_t borders = 0;
  uint64_t expected = 0;
  for (const Chunk& chunk : ChunksOf(layer, file)) {
    if (chunk.index != expected) borders |= expected | chunk.index;
    expected = uint64_t{chunk.index} + 1;
  }
  if (file.chunk_count != 0 && expected != layer_chunks) borders |= expected;
  borders *= layer_chunk_blocks;

  const uint64_t blocks = Blocks(file.size_bytes);
  auto bits = static_cast<uint32_t>(std::bit_width(blocks - 1));
  if (borders != 0) bits = std::min(bits, static_cast<uint32_t>(std::countr_zero(borders)));
  bits = std::min(bits, kMaxChunkBlockBits);
  return {bits, ((blocks - 1) >> bits) + 1};
}

void FillChunkIndexes(const Layer& layer, const File& file, uint32_t block_bits, uint16_t device,
                      std::span<ChunkIndex> indexes) {
  const uint64_t layer_chunk_blocks = layer.chunk_size / kBlockSize;
  for (const Chunk& chunk : ChunksOf(layer, file)) {
    const uint64_t block = chunk.index * layer_chunk_blocks;
    if (((block >> block_bits) << block_bits) != block) continue;
    indexes[block >> block_bits] = {.device = device,
                                    .block = static_cast<uint32_t>(chunk.blob_offset / kBlockSize)};
  }
}

}  // namespace slacker::erofs
