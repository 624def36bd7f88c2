#include "backend/record/layer_tables.h"

#include <algorithm>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr uint8_t kOpaque = 0x80;  // in a node's type byte
// An entry's node: a whiteout, the node after the last one so introduced, or n + kNodeCode.
constexpr uint64_t kWhiteoutCode = 0;
constexpr uint64_t kNextNodeCode = 1;
constexpr uint64_t kNodeCode = 2;

uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

uint64_t FullChunks(const Layer& layer, uint64_t size_bytes) {
  return (size_bytes + layer.chunk_size - 1) / layer.chunk_size;
}

// A table while its rows are encoded. Thread-compatible.
class Table {
 public:
  // Valid until the next call.
  Encoder& BeginRow() {
    if (rows_.size() >= kPageSize) Flush();
    return out_;
  }
  PagedBytes Take() {
    Flush();
    return std::move(bytes_);
  }

 private:
  void Flush() {
    bytes_.Append(rows_);
    rows_.clear();
  }

  std::string rows_;  // not in bytes_ yet
  Encoder out_{&rows_};
  PagedBytes bytes_;
};

PagedBytes EncodeNodes(const Layer& layer) {
  Table table;
  for (const Node& node : layer.nodes) {
    Encoder& out = table.BeginRow();
    out.U8(static_cast<uint8_t>(static_cast<uint8_t>(node.type) | (node.opaque ? kOpaque : 0)));
    out.Varint(node.mode);
    out.Varint(node.uid);
    out.Varint(node.gid);
    out.Varint(ZigZag(node.mtime_seconds));
    out.Varint(node.mtime_nanos);
    if (node.type == NodeType::kRegular)
      out.Varint(node.file == kNone ? 0 : uint64_t{node.file} + 1);
    if (node.type == NodeType::kSymlink) out.Bytes(node.target);
    if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
      out.Varint(node.rdev_major);
      out.Varint(node.rdev_minor);
    }
    out.Varint(node.xattrs.size());
    for (const auto& [name, value] : node.xattrs) {
      out.Bytes(name);
      out.Bytes(value);
    }
  }
  return table.Take();
}

bool DecodeNode(Decoder& in, Node* node) {
  const uint8_t type = in.U8();
  node->type = static_cast<NodeType>(type & ~kOpaque);
  node->opaque = (type & kOpaque) != 0;
  node->mode = static_cast<uint16_t>(in.VarintUpTo(07777));
  node->uid = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
  node->gid = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
  node->mtime_seconds = UnZigZag(in.Varint());
  node->mtime_nanos = static_cast<uint32_t>(in.VarintUpTo(999'999'999));
  if (node->type == NodeType::kRegular) {
    // 0 wraps to kNone.
    node->file = static_cast<uint32_t>(in.VarintUpTo(kMaxCount)) - 1;
  }
  if (node->type == NodeType::kSymlink) node->target = in.Bytes();
  if (node->type == NodeType::kCharDevice || node->type == NodeType::kBlockDevice) {
    node->rdev_major = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
    node->rdev_minor = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
  }
  for (uint64_t n = in.VarintUpTo(kMaxXattrs); n > 0 && in.ok(); --n) {
    const std::string_view name = in.Bytes();
    node->xattrs.emplace_back(name, in.Bytes());
  }
  return in.ok();
}

absl::Status DecodeNodes(std::string_view bytes, uint32_t count, Layer* layer) {
  Decoder in(bytes);
  layer->nodes.resize(count);
  uint64_t xattrs = 0;
  for (Node& node : layer->nodes) {
    if (!DecodeNode(in, &node)) return DataLoss("damaged nodes");
    xattrs += node.xattrs.size();
    if (xattrs > kMaxCount) return DataLoss("too many xattrs");
  }
  return in.done() ? absl::OkStatus() : DataLoss("bytes after the last node");
}

PagedBytes EncodeEntries(const Layer& layer) {
  Table table;
  uint32_t next_node = 0;
  int64_t previous_parent = 0;
  for (const Entry& entry : layer.entries) {
    Encoder& out = table.BeginRow();
    out.Varint(ZigZag(int64_t{entry.parent} - previous_parent));
    previous_parent = entry.parent;
    if (entry.node == kNone) {
      out.Varint(kWhiteoutCode);
    } else if (entry.node == next_node) {
      out.Varint(kNextNodeCode);
      ++next_node;
    } else {
      out.Varint(kNodeCode + entry.node);
    }
    out.Bytes(entry.name);
  }
  return table.Take();
}

absl::Status DecodeEntries(std::string_view bytes, uint32_t count, Layer* layer) {
  Decoder in(bytes);
  uint32_t next_node = 0;
  int64_t parent = 0;
  layer->entries.resize(count);
  for (Entry& entry : layer->entries) {
    const int64_t step = UnZigZag(in.VarintUpTo(uint64_t{2} * kMaxCount));
    parent += step;
    if (parent < 0 || parent >= kMaxCount) return DataLoss("parent out of range");
    entry.parent = static_cast<uint32_t>(parent);
    const uint64_t code = in.VarintUpTo(kMaxCount + kNodeCode);
    if (code == kWhiteoutCode) {
      entry.node = kNone;
    } else {
      entry.node = code == kNextNodeCode ? next_node++ : static_cast<uint32_t>(code - kNodeCode);
    }
    entry.name = in.Bytes();
    if (!in.ok()) return DataLoss("damaged entries");
  }
  return in.done() ? absl::OkStatus() : DataLoss("bytes after the last entry");
}

PagedBytes EncodeFiles(const Layer& layer) {
  Table table;
  for (const File& file : layer.files) {
    Encoder& out = table.BeginRow();
    out.Varint(file.size_bytes);
    out.Varint(file.chunk_count);
    if (file.chunk_count == FullChunks(layer, file.size_bytes)) continue;
    uint32_t expected = 0;
    for (uint32_t i = 0; i < file.chunk_count; ++i) {
      const uint32_t index = layer.chunks[file.first_chunk + i].index;
      out.Varint(index - expected);
      expected = index + 1;
    }
  }
  return table.Take();
}

// Gives the chunks of `file` their index and size. The caller has checked that they are there.
bool DecodeChunkIndexes(Decoder& in, const File& file, Layer* layer) {
  const bool has_holes = file.chunk_count != FullChunks(*layer, file.size_bytes);
  uint64_t index = 0;
  for (uint32_t i = 0; i < file.chunk_count; ++i, ++index) {
    if (has_holes) index += in.VarintUpTo(UINT32_MAX);
    const uint64_t offset = index * layer->chunk_size;
    if (!in.ok() || offset >= file.size_bytes) return false;
    Chunk& chunk = layer->chunks[file.first_chunk + i];
    chunk.index = static_cast<uint32_t>(index);
    chunk.size_bytes =
        static_cast<uint32_t>(std::min<uint64_t>(layer->chunk_size, file.size_bytes - offset));
  }
  return true;
}

absl::Status DecodeFiles(std::string_view bytes, uint32_t count, Layer* layer) {
  Decoder in(bytes);
  uint64_t next_chunk = 0;
  layer->files.resize(count);
  for (File& file : layer->files) {
    file.size_bytes = in.VarintUpTo(uint64_t{1} << 44);
    file.first_chunk = static_cast<uint32_t>(next_chunk);
    file.chunk_count = static_cast<uint32_t>(in.VarintUpTo(kMaxCount));
    next_chunk += file.chunk_count;
    if (!in.ok() || next_chunk > layer->chunks.size()) return DataLoss("damaged files");
    if (!DecodeChunkIndexes(in, file, layer)) return DataLoss("damaged chunk indexes");
  }
  return in.done() ? absl::OkStatus() : DataLoss("bytes after the last file");
}

PagedBytes EncodeDigests(const Layer& layer) {
  Table table;
  for (const Chunk& chunk : layer.chunks) table.BeginRow().Hash(chunk.digest);
  return table.Take();
}

absl::Status DecodeDigests(const PagedBytes& section, uint32_t count, Layer* layer) {
  static_assert(kPageSize % sizeof(Digest::bytes) == 0, "no digest lies in two pages");
  if (section.size() != uint64_t{count} * sizeof(Digest::bytes)) {
    return DataLoss("wrong number of digests");
  }
  layer->chunks.resize(count);
  PagedBytesReader pages(section);
  for (Chunk& chunk : layer->chunks) {
    chunk.digest = Decoder(pages.Next(sizeof(Digest::bytes))).Hash();
  }
  return absl::OkStatus();
}

std::string EncodeFields(const Layer& layer, const Digest& tar_part) {
  std::string bytes;
  Encoder out(&bytes);
  out.Hash(layer.diff_id);
  out.U64(layer.tar_size_bytes);
  out.U32(layer.chunk_size);
  out.U64(layer.blob_size_bytes);
  out.U32(static_cast<uint32_t>(layer.nodes.size()));
  out.U32(static_cast<uint32_t>(layer.entries.size()));
  out.U32(static_cast<uint32_t>(layer.files.size()));
  out.U32(static_cast<uint32_t>(layer.chunks.size()));
  out.Hash(tar_part);
  return bytes;
}

// Every row of a table takes at least `row_bytes`: a count that cannot be true is refused before
// anything is allocated by it.
bool CountFits(uint64_t count, const PagedBytes& section, size_t row_bytes) {
  return count <= kMaxCount && count <= section.size() / row_bytes;
}

}  // namespace

PagedObject EncodeRecordTables(const Layer& layer, const Digest& tar_part) {
  PagedObject object{EncodeFields(layer, tar_part), {}};
  object.sections.push_back(EncodeNodes(layer));
  object.sections.push_back(EncodeEntries(layer));
  object.sections.push_back(EncodeFiles(layer));
  object.sections.push_back(EncodeDigests(layer));
  return object;
}

absl::Status DecodeRecordTables(const PagedObject& object, DecodedRecord* decoded) {
  Layer& layer = decoded->layer;
  Decoder in(object.fields);
  layer.diff_id = in.Hash();
  layer.tar_size_bytes = in.U64();
  layer.chunk_size = in.U32();
  layer.blob_size_bytes = in.U64();
  const uint32_t nodes = in.U32();
  const uint32_t entries = in.U32();
  const uint32_t files = in.U32();
  const uint32_t chunks = in.U32();
  decoded->tar_part = in.Hash();
  const auto& sections = object.sections;
  if (!in.done() || !CountFits(nodes, sections[0], 7) || !CountFits(entries, sections[1], 3) ||
      !CountFits(files, sections[2], 2) || !CountFits(chunks, sections[3], sizeof(Digest::bytes)) ||
      layer.chunk_size < kMinChunkSize || layer.chunk_size > kMaxChunkSize) {
    return DataLoss("damaged fields");
  }
  RETURN_IF_ERROR(DecodeNodes(sections[0].ToString(), nodes, &layer));
  RETURN_IF_ERROR(DecodeEntries(sections[1].ToString(), entries, &layer));
  RETURN_IF_ERROR(DecodeDigests(sections[3], chunks, &layer));
  RETURN_IF_ERROR(DecodeFiles(sections[2].ToString(), files, &layer));
  const uint64_t blob_size_bytes = layer.blob_size_bytes;
  AssignBlobOffsets(&layer);
  if (layer.blob_size_bytes != blob_size_bytes) return DataLoss("wrong blob size");
  return ValidateLayer(layer);
}

PagedBytes EncodeTarPieces(const Layer& layer) {
  Table table;
  for (const TarPiece& piece : layer.tar_pieces) {
    Encoder& out = table.BeginRow();
    out.U8(static_cast<uint8_t>(piece.kind));
    if (piece.kind == TarPiece::Kind::kFile) {
      out.Varint(piece.file);
      out.Varint(piece.offset);
    }
    out.Varint(piece.length);
  }
  return table.Take();
}

absl::Status DecodeTarTables(PagedObject object, Layer* layer) {
  const uint32_t count = Decoder(object.fields).U32();
  // A row takes 2 to 31 bytes.
  if (count > kMaxTarPieces || count > object.sections[0].size() / 2 ||
      object.sections[0].size() > uint64_t{count} * 31) {
    return DataLoss("tar part: wrong number of pieces");
  }
  const std::string rows = object.sections[0].ToString();
  Decoder in(rows);
  std::vector<TarPiece> pieces(count);
  for (TarPiece& piece : pieces) {
    piece.kind = static_cast<TarPiece::Kind>(in.U8());
    if (piece.kind == TarPiece::Kind::kFile) {
      piece.file = static_cast<uint32_t>(in.VarintUpTo(kMaxCount));
      piece.offset = in.Varint();
    }
    piece.length = in.Varint();
  }
  if (!in.done()) return DataLoss("tar part: damaged pieces");
  layer->tar_pieces = std::move(pieces);
  layer->tar_literals = std::move(object.sections[1]);
  if (layer->tar_pieces.empty() && layer->tar_size_bytes != 0) {
    return DataLoss("tar part: the pieces do not make up the tar");
  }
  return ValidateLayer(*layer);
}

}  // namespace slacker
