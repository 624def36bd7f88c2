#include "snapshotter/fill/local_chunks.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace slacker {
namespace {

constexpr size_t kMinSets = 512;

uint32_t TagOf(const Digest& digest) {
  uint32_t tag = 0;
  std::memcpy(&tag, digest.bytes.data(), sizeof tag);
  return tag;
}

}  // namespace

LocalChunks::LocalChunks(size_t max_rows)
    : max_sets_(max_rows / kWays), sets_(std::min(max_sets_, kMinSets)) {}

void LocalChunks::Note(const Digest& digest, uint64_t blob, uint32_t chunk) {
  if (blob > std::numeric_limits<uint32_t>::max()) return;  // a node has no so many in its life
  MutexLock lock(&mutex_);
  // Half full: few sets have lost rows for want of room.
  if (rows_ >= sets_.size() * kWays / 2 && sets_.size() < max_sets_) Grow();
  Insert({TagOf(digest), static_cast<uint32_t>(blob), chunk});
}

void LocalChunks::Insert(const Row& row) {
  Set& set = sets_[row.tag & (sets_.size() - 1)];
  // What gives way: the row itself, or else one of the same digest too many, an empty one, the oldest.
  size_t out = kWays;
  size_t same = 0;
  for (size_t i = 0; i < kWays && out == kWays; ++i) {
    if (set[i].blob == 0) {
      out = i;
      ++rows_;
    } else if (set[i].tag == row.tag) {
      const bool itself = set[i].blob == row.blob && set[i].chunk == row.chunk;
      if (itself || ++same == kMaxPlaces) out = i;
    }
  }
  out = std::min(out, kWays - 1);
  std::move_backward(set.begin(), set.begin() + static_cast<std::ptrdiff_t>(out),
                     set.begin() + static_cast<std::ptrdiff_t>(out) + 1);
  set[0] = row;
}

void LocalChunks::Grow() {
  const std::vector<Set> old = std::exchange(sets_, std::vector<Set>(sets_.size() * 2));
  rows_ = 0;
  for (const Set& set : old) {
    for (auto row = set.rbegin(); row != set.rend(); ++row) {
      if (row->blob != 0) Insert(*row);
    }
  }
}

std::vector<LocalChunks::Place> LocalChunks::Find(const Digest& digest) const {
  const uint32_t tag = TagOf(digest);
  std::vector<Place> places;
  MutexLock lock(&mutex_);
  for (const Row& row : sets_[tag & (sets_.size() - 1)]) {
    if (row.blob != 0 && row.tag == tag) places.push_back({row.blob, row.chunk});
  }
  return places;
}

size_t LocalChunks::rows() const {
  MutexLock lock(&mutex_);
  return rows_;
}

}  // namespace slacker
