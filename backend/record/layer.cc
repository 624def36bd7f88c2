#include "backend/record/layer.h"

#include <algorithm>

#include "backend/base/check.h"

namespace slacker {

void AssignBlobOffsets(Layer* layer) {
  uint64_t offset = 0;
  size_t row = 0;
  for (Chunk& chunk : layer->chunks) {
    TrimSpilledAt(row++);
    chunk.blob_offset = offset;
    offset += (uint64_t{chunk.size_bytes} + kBlockSize - 1) / kBlockSize * kBlockSize;
  }
  layer->blob_size_bytes = offset;
}

void Layer::DropTree() {
  // A list of nothing would be copied in, and the room kept.
  nodes = TableVector<Node>();
  entries = TableVector<Entry>();
  texts = {};
}

size_t Layer::MemoryBytes() const {
  size_t bytes = nodes.size() * sizeof(Node) + entries.size() * sizeof(Entry) +
                 files.size() * sizeof(File) + chunks.size() * sizeof(Chunk);
  size_t row = 0;
  for (const Node& node : nodes) {
    TrimSpilledAt(row++);
    bytes += node.target.size();
    for (const auto& [name, value] : node.xattrs) bytes += name.size() + value.size();
  }
  row = 0;
  for (const Entry& entry : entries) {
    TrimSpilledAt(row++);
    bytes += entry.name.size();
  }
  return bytes;
}

std::string_view Layer::Keep(std::string_view text) {
  SLACKER_CHECK(text.size() <= Arena::kBlockBytes, "names and targets are short");
  SLACKER_CHECK(texts->HasRoomFor(text.size()), "records have less than 4 GiB of names");
  char* const kept = texts->At(texts->Allocate(text.size()));
  std::copy(text.begin(), text.end(), kept);
  return {kept, text.size()};
}

std::pair<uint32_t, uint32_t> ChunksIn(const TableVector<Chunk>& chunks, uint64_t offset,
                                       uint64_t size) {
  const auto first = std::partition_point(chunks.begin(), chunks.end(), [&](const Chunk& chunk) {
    return chunk.blob_offset + chunk.size_bytes <= offset;
  });
  const auto last = std::partition_point(
      first, chunks.end(), [&](const Chunk& chunk) { return chunk.blob_offset < offset + size; });
  return {static_cast<uint32_t>(first - chunks.begin()),
          static_cast<uint32_t>(last - chunks.begin())};
}

}  // namespace slacker
