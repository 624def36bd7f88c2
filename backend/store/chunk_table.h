// The chunks of a publication and where they went: 48 bytes and some 8 of index for each.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "backend/base/digest.h"
#include "backend/base/spill.h"
#include "backend/store/store.h"

namespace slacker {

// Thread-compatible.
class ChunkTable {
 public:
  ChunkTable() : index_(0, Hash{this}, Equal{this}) {}
  ChunkTable(const ChunkTable&) = delete;
  ChunkTable& operator=(const ChunkTable&) = delete;

  // False when it is there already.
  bool Insert(const Digest& digest);
  // REQUIRES: it was inserted.
  void SetLocation(const Digest& digest, const ChunkLocation& location);
  void Clear();
  // Where it was said to be; nullopt if nothing was said.
  std::optional<ChunkLocation> Find(const Digest& digest) const;

 private:
  struct Row {
    Digest digest;
    uint64_t offset = 0;
    uint32_t pack = 0;
    uint32_t stored = 0;  // bytes, the highest bit set = compressed; 0 = nothing was said
  };
  struct Hash {
    using is_transparent = void;
    const ChunkTable* table;
    size_t operator()(const Digest& digest) const;
    // An index that grows asks this of all rows, in any order.
    size_t operator()(uint32_t row) const {
      TrimSpilledAround(row);
      return (*this)(table->rows_[row].digest);
    }
  };
  struct Equal {
    using is_transparent = void;
    const ChunkTable* table;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t row, const Digest& digest) const {
      return table->rows_[row].digest == digest;
    }
  };

  TableVector<Row> rows_;
  absl::flat_hash_set<uint32_t, Hash, Equal, SpillAllocator<uint32_t>> index_;
};

}  // namespace slacker
