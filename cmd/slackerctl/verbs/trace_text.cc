#include "cmd/slackerctl/verbs/trace_text.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/startup/trace_merge.h"
#include "backend/view/tree_walk.h"

namespace slacker::ctl {
namespace {

// Files by where their chunks are in the blobs.
class FilesByPlace {
 public:
  static absl::StatusOr<FilesByPlace> Of(const ImageView& view) {
    FilesByPlace files;
    RETURN_IF_ERROR(WalkTree(view.tree(), 0, [&](std::string_view path, uint32_t inode) {
      const ImageView::FileRef file = view.FileOf(view.inode(inode));
      if (file.file == nullptr || file.file->chunk_count == 0) return absl::OkStatus();
      const Chunk* first = &file.layer->chunks[file.file->first_chunk];
      files.layers_[view.inode(inode).layer].try_emplace(
          first->blob_offset, Place{"/" + std::string(path), file.layer, file.file});
      return absl::OkStatus();
    }));
    return files;
  }

  // Appends what [offset, end) of a layer's blob is of, file by file.
  void Split(uint32_t layer, uint64_t offset, uint64_t end, uint32_t starts,
             std::vector<TracedPart>* parts) const {
    const auto files = layers_.find(layer);
    while (offset < end) {
      TracedPart part{"", 0, end - offset, starts};
      if (files != layers_.end()) {
        const auto next = files->second.upper_bound(offset);
        if (next != files->second.end()) part.bytes = std::min(part.bytes, next->first - offset);
        if (next != files->second.begin()) Name(std::prev(next)->second, offset, &part);
      }
      offset += part.bytes;
      parts->push_back(std::move(part));
    }
  }

 private:
  struct Place {
    std::string path;
    const Layer* layer;
    const File* file;
  };

  // The file that begins before `offset`, unless it ends before, too.
  static void Name(const Place& place, uint64_t offset, TracedPart* part) {
    const auto* first = place.layer->chunks.data() + place.file->first_chunk;
    const auto* after = first + place.file->chunk_count;
    const auto* chunk = std::partition_point(first, after,
                                             [offset](const Chunk& candidate) {
                                               return candidate.blob_offset <= offset;
                                             }) -
                        1;
    const uint64_t end = (after - 1)->blob_offset + (after - 1)->size_bytes;
    if (offset >= end) return;
    part->path = place.path;
    part->offset = uint64_t{chunk->index} * place.layer->chunk_size + (offset - chunk->blob_offset);
    part->bytes = std::min(part->bytes, end - offset);
  }

  std::map<uint32_t, std::map<uint64_t, Place>> layers_;  // by the offset of the first chunk
};

}  // namespace

absl::StatusOr<std::vector<TracedPart>> PartsOf(const StartTrace& trace, const ImageView& view) {
  const auto& layers = view.manifest().layers;
  const bool fits = std::equal(
      layers.begin(), layers.end(), trace.records.begin(), trace.records.end(),
      [](const ManifestLayer& layer, const Digest& record) { return layer.record == record; });
  if (!fits) return DataLoss("the trace is of another publication of this image");
  ASSIGN_OR_RETURN(const FilesByPlace files, FilesByPlace::Of(view));
  std::vector<TracedPart> parts;
  for (const TraceRange& range : UsualRanges(trace)) {
    const uint64_t offset = range.first * kTracePageBytes;
    files.Split(range.layer, offset, offset + range.count * kTracePageBytes, range.starts, &parts);
  }
  // Between two files there is padding, which no file has.
  std::erase_if(parts, [](const TracedPart& part) {
    return part.path.empty() && part.bytes < kTracePageBytes;
  });
  return parts;
}

void PrintParts(const Console& console, const StartTrace& trace,
                const std::vector<TracedPart>& parts) {
  std::vector<std::vector<Cell>> rows;
  for (const TracedPart& part : parts) {
    rows.push_back({TextCell(part.path.empty() ? "-" : part.path), CountCell(part.offset),
                    SizeCell(part.bytes),
                    TextCell(std::to_string(part.starts) + "/" + std::to_string(trace.starts))});
  }
  PrintRows(console, {"FILE", "OFFSET", "READ", "STARTS"}, rows);
}

nlohmann::json TraceJson(const StartTrace& trace, const std::vector<TracedPart>& parts) {
  nlohmann::json json = {{"chain_id", trace.chain_id.ToString()},
                         {"starts", trace.starts},
                         {"read", nlohmann::json::array()}};
  for (const TracedPart& part : parts) {
    nlohmann::json read = {{"offset", part.offset}, {"bytes", part.bytes}, {"starts", part.starts}};
    SetBytes(&read, "file", part.path);
    json["read"].push_back(std::move(read));
  }
  return json;
}

}  // namespace slacker::ctl
