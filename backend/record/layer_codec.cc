#include "backend/record/layer_codec.h"

#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/paged_object.h"

namespace slacker {
namespace {

constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxCount = uint32_t{1} << 24;
constexpr size_t kMaxXattrs = 4096;
constexpr PagedFormat kRecordFormat = {"SLKR", kVersion, 100, 4, kMaxRecordBytes};
constexpr PagedFormat kTarFormat = {"SLKT", kVersion, 4, 2, kMaxTarPartBytes};
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

std::string EncodeNodes(const Layer& layer) {
  std::string bytes;
  Encoder out(&bytes);
  for (const Node& node : layer.nodes) {
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
  return bytes;
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

std::string EncodeEntries(const Layer& layer) {
  std::string bytes;
  Encoder out(&bytes);
  uint32_t next_node = 0;
  int64_t previous_parent = 0;
  for (const Entry& entry : layer.entries) {
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
  return bytes;
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

std::string EncodeFiles(const Layer& layer) {
  std::string bytes;
  Encoder out(&bytes);
  for (const File& file : layer.files) {
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
  return bytes;
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

std::string EncodeDigests(const Layer& layer) {
  std::string bytes;
  bytes.reserve(layer.chunks.size() * sizeof(Digest::bytes));
  Encoder out(&bytes);
  for (const Chunk& chunk : layer.chunks) out.Hash(chunk.digest);
  return bytes;
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

std::string EncodePieces(const Layer& layer) {
  std::string bytes;
  Encoder out(&bytes);
  for (const TarPiece& piece : layer.tar_pieces) {
    out.U8(static_cast<uint8_t>(piece.kind));
    if (piece.kind == TarPiece::Kind::kFile) {
      out.Varint(piece.file);
      out.Varint(piece.offset);
    }
    out.Varint(piece.length);
  }
  return bytes;
}

// Every row of a table takes at least `row_bytes`: a count that cannot be true is refused before
// anything is allocated by it.
bool CountFits(uint64_t count, const std::string& section, size_t row_bytes) {
  return count <= kMaxCount && count <= section.size() / row_bytes;
}

absl::Status DecodeSections(const PagedObject& object, DecodedRecord* decoded) {
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
  layer.nodes.resize(nodes);
  Decoder node_rows(sections[0]);
  for (Node& node : layer.nodes) {
    if (!DecodeNode(node_rows, &node)) return DataLoss("damaged nodes");
  }
  if (!node_rows.done()) return DataLoss("bytes after the last node");
  RETURN_IF_ERROR(DecodeEntries(sections[1], entries, &layer));
  layer.chunks.resize(chunks);
  Decoder digests(sections[3]);
  for (Chunk& chunk : layer.chunks) chunk.digest = digests.Hash();
  if (!digests.done()) return DataLoss("bytes after the last chunk");
  return DecodeFiles(sections[2], files, &layer);
}

}  // namespace

absl::StatusOr<EncodedLayer> EncodeLayer(const Layer& layer) {
  RETURN_IF_ERROR(ValidateLayer(layer));
  if (layer.tar_pieces.empty() && layer.tar_size_bytes != 0) {
    return DataLoss("layer without its tar part");
  }
  if (layer.nodes.size() > kMaxCount || layer.entries.size() > kMaxCount ||
      layer.files.size() > kMaxCount || layer.chunks.size() > kMaxCount ||
      layer.tar_pieces.size() > UINT32_MAX) {
    return ResourceExhausted("layer with too many entries");
  }
  for (const Node& node : layer.nodes) {
    if (node.xattrs.size() > kMaxXattrs) return ResourceExhausted("file with too many xattrs");
  }
  std::string tar_fields;
  Encoder(&tar_fields).U32(static_cast<uint32_t>(layer.tar_pieces.size()));
  ASSIGN_OR_RETURN(auto tar, EncodePagedObject(kTarFormat, tar_fields,
                                               {EncodePieces(layer), layer.tar_literals}));
  ASSIGN_OR_RETURN(auto record, EncodePagedObject(kRecordFormat, EncodeFields(layer, tar.digest),
                                                  {EncodeNodes(layer), EncodeEntries(layer),
                                                   EncodeFiles(layer), EncodeDigests(layer)}));
  return EncodedLayer{record.digest, std::move(record.stored), std::move(tar.stored)};
}

absl::StatusOr<DecodedRecord> DecodeRecord(std::string_view bytes, const Digest& record) {
  const std::string context = "record " + record.ToHex();
  auto object = DecodePagedObject(kRecordFormat, bytes, record);
  if (!object.ok()) return Annotate(object.status(), context);
  DecodedRecord decoded;
  if (absl::Status status = DecodeSections(*object, &decoded); !status.ok()) {
    return Annotate(status, context);
  }
  const uint64_t blob_size_bytes = decoded.layer.blob_size_bytes;
  AssignBlobOffsets(&decoded.layer);
  if (decoded.layer.blob_size_bytes != blob_size_bytes) {
    return DataLoss(context + ": wrong blob size");
  }
  if (absl::Status status = ValidateLayer(decoded.layer); !status.ok()) {
    return Annotate(status, context);
  }
  return decoded;
}

absl::Status DecodeTarPart(std::string_view bytes, const Digest& tar_part, Layer* layer) {
  ASSIGN_OR_RETURN(PagedObject object, DecodePagedObject(kTarFormat, bytes, tar_part));
  const uint32_t count = Decoder(object.fields).U32();
  if (count > object.sections[0].size() / 2) return DataLoss("tar part: wrong number of pieces");
  Decoder in(object.sections[0]);
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
