#include "backend/startup/image_files.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kMaxLinks = 40;
constexpr int kMaxSteps = 4096;
constexpr uint64_t kMaxReadBytes = 16 << 20;
constexpr size_t kMaxKept = 8;

// Takes the first component off a path; empty at its end.
std::string NextComponent(std::string* path) {
  const size_t begin = path->find_first_not_of('/');
  if (begin == std::string::npos) {
    path->clear();
    return "";
  }
  const size_t end = std::min(path->find('/', begin), path->size());
  std::string component = path->substr(begin, end - begin);
  path->erase(0, end);
  return component;
}

}  // namespace

ImageFiles::ImageFiles(std::vector<const Layer*> layers, ChunkSource chunks)
    : layers_(std::move(layers)), chunks_(std::move(chunks)), tree_(layers_) {}

std::optional<uint32_t> ImageFiles::Child(uint32_t directory, std::string_view name) {
  const auto children = tree_.Children(directory);
  const auto found = std::lower_bound(
      children.begin(), children.end(), name,
      [](const erofs::TreeEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  if (found == children.end() || found->name != name) return std::nullopt;
  return found->inode;
}

std::optional<ImageFiles::File> ImageFiles::Find(std::string_view path) {
  std::string rest(path);
  std::vector<std::pair<uint32_t, std::string>> above;  // directories on the way, without the root
  uint32_t at = 0;
  int links = 0;
  for (int steps = 0; steps < kMaxSteps; ++steps) {
    const std::string component = NextComponent(&rest);
    if (component.empty() || component == ".") {
      if (component.empty()) return std::nullopt;  // a directory
      continue;
    }
    if (component == "..") {
      if (!above.empty()) above.pop_back();
      at = above.empty() ? 0 : above.back().first;
      continue;
    }
    const std::optional<uint32_t> child = Child(at, component);
    if (!child.has_value()) return std::nullopt;
    const erofs::TreeInode& inode = tree_.inode(*child);
    if (inode.is_directory) {
      above.emplace_back(*child, component);
      at = *child;
    } else if (inode.node->type == NodeType::kSymlink) {
      if (++links > kMaxLinks) return std::nullopt;
      rest = std::string(inode.node->target) + "/" + rest;
      if (rest.front() == '/') {
        above.clear();
        at = 0;
      }
    } else if (inode.node->type == NodeType::kRegular &&
               rest.find_first_not_of('/') == std::string::npos) {
      File file;
      for (const auto& [directory, name] : above) file.path += "/" + name;
      file.path += "/" + component;
      file.layer = inode.layer;
      file.file = inode.node->file;
      file.executable = (inode.node->mode & 0111) != 0;
      if (file.file != kNone) file.size_bytes = layers_[file.layer]->files[file.file].size_bytes;
      return file;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

absl::StatusOr<const std::string*> ImageFiles::Chunk(uint32_t layer, uint32_t chunk) {
  for (const Kept& kept : kept_) {
    if (kept.layer == layer && kept.chunk == chunk) return &kept.bytes;
  }
  ASSIGN_OR_RETURN(std::string bytes, chunks_(layer, chunk));
  if (bytes.size() != ChunkBytes(layer, chunk)) return DataLoss("a chunk of another size");
  kept_.push_back({layer, chunk, std::move(bytes)});
  if (kept_.size() > kMaxKept) kept_.pop_front();
  return &kept_.back().bytes;
}

std::vector<ChunkRun> ImageFiles::ChunksOf(const File& file, uint64_t offset, uint64_t size) const {
  std::vector<ChunkRun> runs;
  offset = std::min(offset, file.size_bytes);
  size = std::min(size, file.size_bytes - offset);
  if (file.file == kNone || size == 0) return runs;
  const Layer& layer = *layers_[file.layer];
  const slacker::File& content = layer.files[file.file];
  const auto begin = layer.chunks.begin() + content.first_chunk;
  const auto end = begin + content.chunk_count;
  const uint64_t last = (offset + size - 1) / layer.chunk_size;
  auto chunk = std::partition_point(begin, end, [&](const slacker::Chunk& candidate) {
    return candidate.index < offset / layer.chunk_size;
  });
  const auto first = static_cast<uint32_t>(chunk - layer.chunks.begin());
  uint32_t count = 0;
  for (; chunk != end && chunk->index <= last; ++chunk) ++count;
  if (count > 0) runs.push_back({file.layer, first, count});
  return runs;
}

absl::StatusOr<std::string> ImageFiles::Read(const File& file, uint64_t offset, uint64_t size) {
  offset = std::min(offset, file.size_bytes);
  size = std::min(size, file.size_bytes - offset);
  if (size > kMaxReadBytes) return InvalidArgument("read of more than 16 MiB");
  std::string out(size, '\0');  // what is not stored is zeros
  for (const ChunkRun& run : ChunksOf(file, offset, size)) {
    for (uint32_t chunk = run.first; chunk < run.first + run.count; ++chunk) {
      ASSIGN_OR_RETURN(const std::string* const bytes, Chunk(run.layer, chunk));
      const Layer& layer = *layers_[run.layer];
      const uint64_t begin = uint64_t{layer.chunks[chunk].index} * layer.chunk_size;
      const uint64_t from = std::max(begin, offset);
      const uint64_t to = std::min(begin + bytes->size(), offset + size);
      if (from < to)
        std::memcpy(out.data() + (from - offset), bytes->data() + (from - begin), to - from);
    }
  }
  return out;
}

}  // namespace slacker
