// A layer on its way into its record: the tables, encoded row by row. What has been added takes
// the memory of compressed pages, some 50 bytes for a small file (32 of them its chunk's digest).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/record/layer.h"
#include "backend/record/paged_bytes.h"

namespace slacker {

// What a layer adds up to, for whoever must know before the layers are merged.
struct LayerTotals {
  uint64_t nodes = 0, entries = 0, files = 0, chunks = 0, tar_pieces = 0;
  uint64_t directories = 0, symlinks = 0;
  uint64_t name_bytes = 0, target_bytes = 0;
  uint64_t xattrs = 0, xattr_bytes = 0;  // names and values
  uint64_t max_xattrs = 0;               // of one node, as the next
  uint64_t max_xattr_bytes = 0;
  uint64_t max_xattr_value_bytes = 0;
  uint64_t sparse_chunks = 0;  // of files with holes between chunks, the holes counted too
  uint64_t tar_bytes = 0;

  void AddNode(const Node& node);
  void AddEntry(std::string_view name);
  void AddFile(const File& file, uint32_t chunk_size);
};

LayerTotals TotalsOf(const Layer& layer);

// A table of a record while it grows. Thread-compatible.
class Table {
 public:
  // Valid until the next call.
  Encoder& BeginRow() {
    if (rows_.size() >= kPageSize) Flush();
    return out_;
  }
  // The table is empty then.
  PagedBytes Take() {
    Flush();
    return std::exchange(bytes_, {});
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

// A layer, encoded. Valid by construction where LayerEncoder's requirements were met.
struct LayerTables {
  Digest diff_id;
  uint64_t tar_size_bytes = 0;
  uint32_t chunk_size = 0;
  uint64_t blob_size_bytes = 0;
  LayerTotals totals;
  PagedBytes nodes, entries, files, digests;  // the record's sections
  PagedBytes tar_pieces, tar_literals;        // the tar part's
};

// The order of calls within a table is that of its rows; the tables are independent of each other.
// REQUIRES: everything added makes up a layer as backend/record/layer.h says. Thread-compatible.
class LayerEncoder {
 public:
  explicit LayerEncoder(uint32_t chunk_size) { tables_.chunk_size = chunk_size; }
  LayerEncoder(const LayerEncoder&) = delete;
  LayerEncoder& operator=(const LayerEncoder&) = delete;

  uint32_t chunk_size() const { return tables_.chunk_size; }
  const LayerTotals& totals() const { return tables_.totals; }

  void AddNode(const Node& node);
  void AddEntry(uint32_t parent, uint32_t node, std::string_view name);
  // A file: its stored chunks follow, in order, until EndFile.
  void BeginFile(uint64_t size_bytes);
  void AddChunk(const Digest& digest, uint32_t index, uint32_t size_bytes);
  void EndFile();
  void AddTarPiece(const TarPiece& piece);
  void AddTarLiteral(std::string_view bytes) { tables_.tar_literals.Append(bytes); }
  uint64_t tar_literal_bytes() const { return tables_.tar_literals.size(); }

  // The object is spent.
  LayerTables Finish(const Digest& diff_id, uint64_t tar_size_bytes);

 private:
  LayerTables tables_;
  Table nodes_, entries_, files_, digests_, tar_pieces_;
  uint32_t next_node_ = 0;
  int64_t previous_parent_ = 0;
  File file_;                // the open one
  uint64_t next_index_ = 0;  // in the open file
  std::string gaps_;         // of the open file: its row's end
};

}  // namespace slacker
