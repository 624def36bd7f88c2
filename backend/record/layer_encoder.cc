#include "backend/record/layer_encoder.h"

#include <algorithm>
#include <utility>

#include "backend/base/spill.h"
#include "backend/record/layer_rows.h"

namespace slacker {

namespace {

uint64_t SparseChunks(const File& file, uint32_t chunk_size) {
  const uint64_t full = FullChunks(file.size_bytes, chunk_size);
  return file.chunk_count == full || file.chunk_count == 0 ? 0 : full;
}

}  // namespace

void LayerTotals::AddNode(const Node& node) {
  ++nodes;
  directories +=
      node.type == NodeType::kDirectory || node.type == NodeType::kImplicitDirectory ? 1 : 0;
  symlinks += node.type == NodeType::kSymlink ? 1 : 0;
  target_bytes += node.target.size();
  uint64_t bytes = 0;
  for (const auto& [name, value] : node.xattrs) {
    TrimSpilledAt({name, value});
    bytes += name.size() + value.size();
    max_xattr_value_bytes = std::max<uint64_t>(max_xattr_value_bytes, value.size());
  }
  xattrs += node.xattrs.size();
  xattr_bytes += bytes;
  max_xattrs = std::max<uint64_t>(max_xattrs, node.xattrs.size());
  max_xattr_bytes = std::max(max_xattr_bytes, bytes);
}

void LayerTotals::AddEntry(std::string_view name) {
  ++entries;
  name_bytes += name.size();
}

void LayerTotals::AddFile(const File& file, uint32_t chunk_size) {
  ++files;
  sparse_chunks += SparseChunks(file, chunk_size);
}

LayerTotals TotalsOf(const Layer& layer) {
  LayerTotals totals;
  size_t row = 0;
  for (const Node& node : layer.nodes) {
    TrimSpilledAt(row++);
    totals.AddNode(node);
    // Not as a tar would have it, but allowed: two nodes with one content.
    if (node.file == kNone) continue;
    totals.sparse_chunks += SparseChunks(layer.files[node.file], layer.chunk_size);
  }
  for (const Entry& entry : layer.entries) totals.AddEntry(entry.name);
  totals.files = layer.files.size();
  totals.chunks = layer.chunks.size();
  totals.tar_pieces = layer.tar_pieces.size();
  totals.tar_bytes = layer.tar_size_bytes;
  return totals;
}

void LayerEncoder::AddNode(const Node& node) {
  EncodeNode(node, nodes_.BeginRow());
  tables_.totals.AddNode(node);
}

void LayerEncoder::AddEntry(uint32_t parent, uint32_t node, std::string_view name) {
  Encoder& out = entries_.BeginRow();
  out.Varint(ZigZag(int64_t{parent} - previous_parent_));
  previous_parent_ = parent;
  if (node == kNone) {
    out.Varint(kWhiteoutCode);
  } else if (node == next_node_) {
    out.Varint(kNextNodeCode);
    ++next_node_;
  } else {
    out.Varint(kNodeCode + node);
  }
  out.Bytes(name);
  tables_.totals.AddEntry(name);
}

void LayerEncoder::BeginFile(uint64_t size_bytes) {
  file_ = {size_bytes, static_cast<uint32_t>(tables_.totals.chunks), 0};
  next_index_ = 0;
  gaps_.clear();
}

void LayerEncoder::AddChunk(const Digest& digest, uint32_t index, uint32_t size_bytes) {
  Encoder(&gaps_).Varint(index - next_index_);
  next_index_ = uint64_t{index} + 1;
  digests_.BeginRow().Hash(digest);
  ++file_.chunk_count;
  ++tables_.totals.chunks;
  tables_.blob_size_bytes += (uint64_t{size_bytes} + kBlockSize - 1) / kBlockSize * kBlockSize;
}

void LayerEncoder::EndFile() {
  Encoder& out = files_.BeginRow();
  out.Varint(file_.size_bytes);
  out.Varint(file_.chunk_count);
  if (file_.chunk_count != FullChunks(file_.size_bytes, chunk_size())) out.Raw(gaps_);
  if (gaps_.capacity() > kPageSize) gaps_ = {};
  tables_.totals.AddFile(file_, chunk_size());
}

void LayerEncoder::AddTarPiece(const TarPiece& piece) {
  Encoder& out = tar_pieces_.BeginRow();
  out.U8(static_cast<uint8_t>(piece.kind));
  if (piece.kind == TarPiece::Kind::kFile) {
    out.Varint(piece.file);
    out.Varint(piece.offset);
  }
  out.Varint(piece.length);
  ++tables_.totals.tar_pieces;
}

LayerTables LayerEncoder::Finish(const Digest& diff_id, uint64_t tar_size_bytes) {
  tables_.diff_id = diff_id;
  tables_.tar_size_bytes = tables_.totals.tar_bytes = tar_size_bytes;
  tables_.nodes = nodes_.Take();
  tables_.entries = entries_.Take();
  tables_.files = files_.Take();
  tables_.digests = digests_.Take();
  tables_.tar_pieces = tar_pieces_.Take();
  return std::move(tables_);
}

}  // namespace slacker
