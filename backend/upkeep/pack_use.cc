#include "backend/upkeep/pack_use.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

struct Row {
  uint64_t key;  // first bytes of the chunk's digest
  uint32_t pack;
  uint32_t stored_bytes;
};

uint64_t KeyOf(const Digest& digest) {
  uint64_t key = 0;
  std::memcpy(&key, digest.bytes.data(), sizeof key);
  return key;
}

// The chunks whose keys are in a range, which shrinks until they fit.
class RowRange {
 public:
  RowRange(const PackTable* packs, uint64_t first, size_t limit)
      : packs_(packs), first_(first), limit_(limit) {
    rows_.reserve(limit_);
  }

  uint64_t last() const { return last_; }

  void Add(const Row& row) {
    if (row.key < first_ || row.key > last_) return;
    if (rows_.size() == limit_) Shrink();
    if (row.key <= last_) rows_.push_back(row);
  }

  // One row for each chunk, in the best of its packs.
  const std::vector<Row>& Finish() {
    std::sort(rows_.begin(), rows_.end(), [this](const Row& a, const Row& b) {
      if (a.key != b.key) return a.key < b.key;
      return a.pack != b.pack && packs_->IsBetter(a.pack, b.pack);
    });
    rows_.erase(std::unique(rows_.begin(), rows_.end(),
                            [](const Row& a, const Row& b) { return a.key == b.key; }),
                rows_.end());
    return rows_;
  }

 private:
  void Shrink() {
    (void)Finish();
    const size_t half = std::max<size_t>(limit_ / 2, 1);
    if (rows_.size() <= half) return;
    last_ = rows_[half - 1].key;
    rows_.resize(half);
  }

  const PackTable* const packs_;
  const uint64_t first_;
  const size_t limit_;
  uint64_t last_ = std::numeric_limits<uint64_t>::max();
  std::vector<Row> rows_;
};

}  // namespace

absl::StatusOr<uint32_t> PackTable::NumberOf(Backend& backend, const std::string& name) {
  ASSIGN_OR_RETURN(const Digest id, ParsePackName(name));
  const auto [number, is_new] = numbers_.try_emplace(id, size());
  if (!is_new) return number->second;
  packs_.push_back({id, 0, 0});
  const auto info = backend.Stat(name);
  if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
  if (info.ok()) packs_.back().bytes = info->size_bytes;
  return size() - 1;
}

absl::StatusOr<std::vector<uint32_t>> PackTable::NumbersOf(Backend& backend,
                                                           const Locations& locations) {
  std::vector<uint32_t> numbers;
  for (const std::string& pack : locations.packs) {
    ASSIGN_OR_RETURN(const uint32_t number, NumberOf(backend, pack));
    numbers.push_back(number);
  }
  return numbers;
}

uint32_t PackTable::NewPack() {
  packs_.emplace_back();
  return size() - 1;
}

bool PackTable::IsBetter(uint32_t pack, uint32_t than) const {
  const Pack& left = packs_[pack];
  const Pack& right = packs_[than];
  if (left.bytes != right.bytes) return left.bytes > right.bytes;
  return left.id < right.id;
}

absl::Status MeasurePackUse(Backend& backend, const ForEachLayer& for_each_layer,
                            size_t rows_at_once, PackTable* packs) {
  for (uint64_t first = 0;;) {
    RowRange range(packs, first, rows_at_once);
    RETURN_IF_ERROR(for_each_layer([&](const Digest& /*record*/, const Layer& layer,
                                       const Locations& locations) -> absl::Status {
      ASSIGN_OR_RETURN(const auto numbers, packs->NumbersOf(backend, locations));
      for (size_t i = 0; i < layer.chunks.size(); ++i) {
        const ChunkLocation& at = locations.chunks[i];
        range.Add({KeyOf(layer.chunks[i].digest), numbers[at.pack], at.stored_bytes});
      }
      return absl::OkStatus();
    }));
    for (const Row& row : range.Finish()) (*packs)[row.pack].used_bytes += row.stored_bytes;
    if (range.last() == std::numeric_limits<uint64_t>::max()) return absl::OkStatus();
    first = range.last() + 1;
  }
}

}  // namespace slacker
