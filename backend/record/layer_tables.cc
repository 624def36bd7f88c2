#include "backend/record/layer_tables.h"

#include <algorithm>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/layer_rows.h"

namespace slacker {
namespace {

enum : size_t { kNodesSection, kEntriesSection, kFilesSection, kDigestsSection };
constexpr size_t kPiecesSection = 0;
constexpr size_t kMinPieceRowBytes = 2;
constexpr size_t kMaxPieceRowBytes = 31;

// Makes room for one more of `count` rows: never for more than twice what has been read, nor for more
// than there will be.
template <typename Row>
void MakeRoom(TableVector<Row>* rows, uint32_t count) {
  constexpr size_t kFirst = 1024;
  if (rows->size() < rows->capacity()) return;
  MoveToRoom(rows, std::min<size_t>(count, std::max(kFirst, 2 * rows->size())));
}

absl::Status DecodeNodes(PagedContent& content, uint32_t count, Layer* layer) {
  SectionRows rows(&content, kNodesSection);
  uint64_t xattrs = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Node node;
    ASSIGN_OR_RETURN(const bool sound, rows.Next([&node](Decoder& in) {
      node = {};
      return DecodeNode(in, &node);
    }));
    if (!sound) return DataLoss("damaged nodes");
    xattrs += node.xattrs.size();
    if (xattrs > kMaxCount) return DataLoss("too many xattrs");
    // Before it is kept: there is room for no longer one.
    if (node.target.size() > kMaxLinkTargetBytes) return DataLoss("a target is too long");
    node.target = layer->Keep(node.target);
    node.xattrs.KeepIn(layer->texts.get());
    MakeRoom(&layer->nodes, count);
    layer->nodes.push_back(std::move(node));
  }
  return rows.done() ? absl::OkStatus() : DataLoss("bytes after the last node");
}

// An entry's row: `step` is that of the parent.
struct EntryRow {
  int64_t step = 0;
  uint64_t code = 0;
  std::string_view name;

  bool Decode(Decoder& in) {
    step = UnZigZag(in.VarintUpTo(uint64_t{2} * kMaxCount));
    code = in.VarintUpTo(kMaxCount + kNodeCode);
    name = in.Bytes();
    return in.ok();
  }
};

absl::Status DecodeEntries(PagedContent& content, uint32_t count, Layer* layer) {
  SectionRows rows(&content, kEntriesSection);
  uint32_t next_node = 0;
  int64_t parent = 0;
  for (uint32_t i = 0; i < count; ++i) {
    EntryRow row;
    ASSIGN_OR_RETURN(const bool sound, rows.Next([&row](Decoder& in) { return row.Decode(in); }));
    if (!sound) return DataLoss("damaged entries");
    if (row.name.size() > kMaxEntryNameBytes) return DataLoss("a name is too long");
    parent += row.step;
    if (parent < 0 || parent >= kMaxCount) return DataLoss("parent out of range");
    uint32_t node = kNone;
    if (row.code == kNextNodeCode) node = next_node++;
    if (row.code >= kNodeCode) node = static_cast<uint32_t>(row.code - kNodeCode);
    MakeRoom(&layer->entries, count);
    layer->entries.push_back({static_cast<uint32_t>(parent), node, layer->Keep(row.name)});
  }
  return rows.done() ? absl::OkStatus() : DataLoss("bytes after the last entry");
}

// Gives the chunks of `file` their index and size. The caller has checked that they are there.
bool DecodeChunkIndexes(Decoder& in, const File& file, Layer* layer) {
  const bool has_holes = file.chunk_count != FullChunks(file.size_bytes, layer->chunk_size);
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
  for (uint32_t i = 0; i < count; ++i) {
    TrimSpilledAt(i);
    MakeRoom(&layer->files, count);
    File& file = layer->files.emplace_back();
    file.size_bytes = in.VarintUpTo(uint64_t{1} << 44);
    file.first_chunk = static_cast<uint32_t>(next_chunk);
    file.chunk_count = static_cast<uint32_t>(in.VarintUpTo(kMaxCount));
    next_chunk += file.chunk_count;
    if (!in.ok() || next_chunk > layer->chunks.size()) return DataLoss("damaged files");
    if (!DecodeChunkIndexes(in, file, layer)) return DataLoss("damaged chunk indexes");
  }
  return in.done() ? absl::OkStatus() : DataLoss("bytes after the last file");
}

absl::Status DecodeDigests(PagedContent& content, uint32_t count, Layer* layer) {
  if (content.section_bytes(kDigestsSection) != uint64_t{count} * sizeof(Digest::bytes)) {
    return DataLoss("wrong number of digests");
  }
  SectionRows rows(&content, kDigestsSection);
  for (uint32_t i = 0; i < count; ++i) {
    MakeRoom(&layer->chunks, count);
    Chunk& chunk = layer->chunks.emplace_back();
    ASSIGN_OR_RETURN(const bool sound, rows.Next([&chunk](Decoder& in) {
      chunk.digest = in.Hash();
      return in.ok();
    }));
    if (!sound) return DataLoss("wrong number of digests");
  }
  return absl::OkStatus();
}

// Every row of a table takes at least `row_bytes`: a count that cannot be true is refused before
// anything is allocated by it.
bool CountFits(uint64_t count, uint64_t section_bytes, size_t row_bytes) {
  return count <= kMaxCount && count <= section_bytes / row_bytes;
}

}  // namespace

std::string EncodeRecordFields(const LayerTables& tables, const Digest& tar_part) {
  std::string bytes;
  Encoder out(&bytes);
  out.Hash(tables.diff_id);
  out.U64(tables.tar_size_bytes);
  out.U32(tables.chunk_size);
  out.U64(tables.blob_size_bytes);
  for (const uint64_t rows :
       {tables.totals.nodes, tables.totals.entries, tables.totals.files, tables.totals.chunks}) {
    out.U32(static_cast<uint32_t>(rows));
  }
  out.Hash(tar_part);
  return bytes;
}

absl::Status DecodeRecordTables(PagedContent& content, DecodedRecord* decoded) {
  Layer& layer = decoded->layer;
  Decoder in(content.fields());
  layer.diff_id = in.Hash();
  layer.tar_size_bytes = in.U64();
  layer.chunk_size = in.U32();
  layer.blob_size_bytes = in.U64();
  const uint32_t nodes = in.U32();
  const uint32_t entries = in.U32();
  const uint32_t files = in.U32();
  const uint32_t chunks = in.U32();
  decoded->tar_part = in.Hash();
  if (!in.done() || !CountFits(nodes, content.section_bytes(kNodesSection), 7) ||
      !CountFits(entries, content.section_bytes(kEntriesSection), 3) ||
      !CountFits(files, content.section_bytes(kFilesSection), 2) ||
      !CountFits(chunks, content.section_bytes(kDigestsSection), sizeof(Digest::bytes)) ||
      layer.chunk_size < kMinChunkSize || layer.chunk_size > kMaxChunkSize) {
    return DataLoss("damaged fields");
  }
  RETURN_IF_ERROR(DecodeNodes(content, nodes, &layer));
  RETURN_IF_ERROR(DecodeEntries(content, entries, &layer));
  // A file's row may stand for any number of chunks: they must be there first.
  ASSIGN_OR_RETURN(const PagedBytes file_rows, content.KeepSection(kFilesSection));
  RETURN_IF_ERROR(DecodeDigests(content, chunks, &layer));
  RETURN_IF_ERROR(DecodeFiles(file_rows.ToString(), files, &layer));
  const uint64_t blob_size_bytes = layer.blob_size_bytes;
  AssignBlobOffsets(&layer);
  if (layer.blob_size_bytes != blob_size_bytes) return DataLoss("wrong blob size");
  return ValidateLayer(layer);
}

std::string EncodeTarFields(const LayerTables& tables) {
  std::string bytes;
  Encoder(&bytes).U32(static_cast<uint32_t>(tables.totals.tar_pieces));
  return bytes;
}

absl::StatusOr<PagedBytes> ReadTarPieces(PagedContent& content, const Layer& layer) {
  const uint32_t count = Decoder(content.fields()).U32();
  const uint64_t bytes = content.section_bytes(kPiecesSection);
  if (count > kMaxTarPieces || count > bytes / kMinPieceRowBytes ||
      bytes > uint64_t{count} * kMaxPieceRowBytes) {
    return DataLoss("tar part: wrong number of pieces");
  }
  ASSIGN_OR_RETURN(PagedBytes kept, content.KeepSection(kPiecesSection));
  TarPieceRows rows(kept);
  TarPieceCheck check(layer, content.section_bytes(kTarLiteralsSection));
  for (uint32_t i = 0; i < count; ++i) {
    const std::optional<TarPiece> piece = rows.Next();
    if (!piece.has_value()) return DataLoss("tar part: damaged pieces");
    RETURN_IF_ERROR(check.Add(*piece));
  }
  if (!rows.done()) return DataLoss("tar part: damaged pieces");
  RETURN_IF_ERROR(check.Finish());
  return kept;
}

std::optional<TarPiece> TarPieceRows::Next() {
  if (rows_.size() - used_ < kMaxPieceRowBytes && left_ > 0) {
    rows_.erase(0, used_);
    used_ = 0;
    const std::string_view page = reader_.Next(kPageSize);
    rows_ += page;
    left_ -= page.size();
  }
  Decoder in(std::string_view(rows_).substr(used_));
  TarPiece piece;
  piece.kind = static_cast<TarPiece::Kind>(in.U8());
  if (piece.kind == TarPiece::Kind::kFile) {
    piece.file = static_cast<uint32_t>(in.VarintUpTo(kMaxCount));
    piece.offset = in.Varint();
  }
  piece.length = in.Varint();
  if (!in.ok()) return std::nullopt;
  used_ = rows_.size() - in.remaining();
  return piece;
}

}  // namespace slacker
