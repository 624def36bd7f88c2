#include "backend/store/chunk_table.h"

#include "absl/hash/hash.h"

namespace slacker {
namespace {

constexpr uint32_t kCompressed = uint32_t{1} << 31;

}  // namespace

size_t ChunkTable::Hash::operator()(const Digest& digest) const {
  return absl::HashOf(digest.bytes);
}

bool ChunkTable::Insert(const Digest& digest) {
  TrimSpilledAround(rows_.size());
  if (index_.contains(digest)) return false;
  GrowFor(&rows_, 1);
  rows_.push_back({.digest = digest});
  index_.insert(static_cast<uint32_t>(rows_.size() - 1));
  return true;
}

void ChunkTable::SetLocation(const Digest& digest, const ChunkLocation& location) {
  Row& row = rows_[*index_.find(digest)];
  row.offset = location.offset;
  row.pack = location.pack;
  row.stored = location.stored_bytes | (location.compressed ? kCompressed : 0);
}

void ChunkTable::Clear() {
  index_ = decltype(index_)(0, Hash{this}, Equal{this});
  rows_ = {};
}

std::optional<ChunkLocation> ChunkTable::Find(const Digest& digest) const {
  const auto found = index_.find(digest);
  if (found == index_.end() || rows_[*found].stored == 0) return std::nullopt;
  const Row& row = rows_[*found];
  return ChunkLocation{row.pack, row.offset, row.stored & ~kCompressed,
                       (row.stored & kCompressed) != 0};
}

}  // namespace slacker
