#include "snapshotter/warm/touched_files.h"

#include <algorithm>

namespace slacker {

TouchedFiles::TouchedFiles(std::vector<const Layer*> layers)
    : layers_(layers), tree_(std::move(layers), nullptr), entries_(layers_.size()) {}

std::vector<FileRange> TouchedFiles::Find(std::span<const ChunkRun> pages) {
  std::vector<FileRange> found;
  for (const ChunkRun& run : pages) {
    if (run.layer < layers_.size()) Add(run, &found);
  }
  return found;
}

void TouchedFiles::Add(const ChunkRun& run, std::vector<FileRange>* found) {
  const Layer& layer = *layers_[run.layer];
  const uint64_t begin = run.first * kBootPageBytes, end = begin + run.count * kBootPageBytes;
  const auto [first, last] = ChunksIn(layer.chunks, begin, end - begin);
  for (uint32_t index = first; index < last; ++index) {
    const Chunk& chunk = layer.chunks[index];
    const std::string& path = PathOf(run.layer, index);
    if (path.empty()) continue;
    const uint64_t from = std::max(begin, chunk.blob_offset);
    const uint64_t to = std::min(end, chunk.blob_offset + chunk.size_bytes);
    const uint64_t offset = uint64_t{chunk.index} * layer.chunk_size + (from - chunk.blob_offset);
    if (!found->empty() && found->back().path == path &&
        found->back().offset + found->back().size_bytes == offset) {
      found->back().size_bytes += to - from;
    } else {
      found->push_back({path, offset, to - from});
    }
  }
}

const std::string& TouchedFiles::PathOf(uint32_t layer, uint32_t chunk) {
  // Files are in the order of their chunks; of those without any, the one with this chunk comes last.
  const TableVector<File>& files = layers_[layer]->files;
  const auto behind = std::partition_point(
      files.begin(), files.end(), [&](const File& file) { return file.first_chunk <= chunk; });
  const auto file = static_cast<uint32_t>(behind - files.begin()) - 1;
  const auto [path, is_new] = paths_.try_emplace({layer, file});
  if (is_new && paths_.size() <= kMaxFiles) path->second = FindPath(layer, file);
  return path->second;
}

std::string TouchedFiles::FindPath(uint32_t layer, uint32_t file) {
  const Layer& in = *layers_[layer];
  std::vector<uint32_t>& entries = entries_[layer];
  if (entries.empty()) {
    entries.assign(in.files.size(), kNone);
    for (size_t entry = in.entries.size(); entry-- > 0;) {
      const uint32_t node = in.entries[entry].node;
      if (node == kNone || in.nodes[node].type != NodeType::kRegular) continue;
      if (in.nodes[node].file != kNone) entries[in.nodes[node].file] = static_cast<uint32_t>(entry);
    }
  }
  if (entries[file] == kNone) return "";
  std::string path;
  for (uint32_t entry = entries[file]; entry != 0; entry = in.entries[entry].parent) {
    if (path.size() > kMaxPathBytes) return "";
    path.insert(0, "/" + std::string(in.entries[entry].name));
  }
  const std::optional<ImageFiles::File> shown = tree_.Find(path);
  return shown.has_value() && shown->layer == layer && shown->file == file ? path : "";
}

}  // namespace slacker
