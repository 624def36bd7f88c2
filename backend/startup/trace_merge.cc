#include "backend/startup/trace_merge.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace slacker {
namespace {

constexpr uint32_t kUsualShare = 4;

using Page = std::pair<uint32_t, uint32_t>;  // layer, number

// Pages in order, each with the starts that read it.
class PageList {
 public:
  void Add(const StartTrace& trace) {
    starts_ += trace.starts;
    for (const TraceRange& range : trace.ranges) {
      for (uint32_t i = 0; i < range.count; ++i) {
        const auto [found, added] =
            index_.try_emplace(Page(range.layer, range.first + i), pages_.size());
        if (added) pages_.push_back({found->first, 0});
        pages_[found->second].second += range.starts;
      }
    }
  }

  void ForgetOld() {
    if (starts_ <= kRememberedStarts) return;
    starts_ /= 2;
    for (auto& [page, starts] : pages_) starts /= 2;
  }

  // A trace holds only so many: the rarest go, and of equally rare ones the last.
  StartTrace Take(const StartTrace& like) const {
    StartTrace trace{like.chain_id, like.records, starts_, {}};
    const uint32_t least = LeastStarts();
    size_t room = kMaxTracePages - CountAbove(least);
    for (const auto& [page, starts] : pages_) {
      if (starts == 0 || starts < least) continue;
      if (starts == least) {
        if (room == 0) continue;
        --room;
      }
      Append({page.first, page.second, 1, starts}, &trace.ranges);
    }
    return trace;
  }

 private:
  static void Append(const TraceRange& page, std::vector<TraceRange>* ranges) {
    if (!ranges->empty()) {
      TraceRange& last = ranges->back();
      if (last.layer == page.layer && last.first + last.count == page.first &&
          last.starts == page.starts) {
        ++last.count;
        return;
      }
    }
    ranges->push_back(page);
  }
  size_t CountAbove(uint32_t starts) const {
    return static_cast<size_t>(std::count_if(
        pages_.begin(), pages_.end(), [&](const auto& page) { return page.second > starts; }));
  }
  // Of pages read in more starts than this there are not too many.
  uint32_t LeastStarts() const {
    uint32_t least = 0;
    while (CountAbove(least) > kMaxTracePages) ++least;
    return least;
  }

  uint32_t starts_ = 0;
  std::vector<std::pair<Page, uint32_t>> pages_;
  absl::flat_hash_map<Page, size_t> index_;
};

}  // namespace

StartTrace MergeTraces(const StartTrace& base, const StartTrace& added) {
  PageList pages;
  pages.Add(base);
  pages.Add(added);
  pages.ForgetOld();
  return pages.Take(base);
}

std::vector<TraceRange> UsualRanges(const StartTrace& trace) {
  std::vector<TraceRange> usual;
  for (const TraceRange& range : trace.ranges) {
    if (uint64_t{range.starts} * kUsualShare >= trace.starts) usual.push_back(range);
  }
  return usual;
}

std::vector<ChunkRun> ChunksOfTrace(const StartTrace& trace, std::span<const Layer* const> layers,
                                    uint64_t max_bytes) {
  std::vector<ChunkRun> runs;
  absl::flat_hash_set<std::pair<uint32_t, uint32_t>> taken;
  for (const TraceRange& range : UsualRanges(trace)) {
    if (range.layer >= layers.size()) continue;
    const TableVector<Chunk>& chunks = layers[range.layer]->chunks;
    const auto [first, last] =
        ChunksIn(chunks, range.first * kTracePageBytes, range.count * kTracePageBytes);
    for (uint32_t chunk = first; chunk < last; ++chunk) {
      if (!taken.emplace(range.layer, chunk).second) continue;
      if (chunks[chunk].size_bytes > max_bytes) return runs;
      max_bytes -= chunks[chunk].size_bytes;
      if (!runs.empty() && runs.back().layer == range.layer &&
          runs.back().first + runs.back().count == chunk) {
        ++runs.back().count;
      } else {
        runs.push_back({range.layer, chunk, 1});
      }
    }
  }
  return runs;
}

std::vector<ChunkRun> PagesOfTrace(const StartTrace& trace, std::span<const Layer* const> layers) {
  std::vector<ChunkRun> runs;
  for (const TraceRange& range : UsualRanges(trace)) {
    if (range.layer >= layers.size()) continue;
    const uint64_t pages = layers[range.layer]->blob_size_bytes / kTracePageBytes;
    if (range.first >= pages) continue;
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(range.count, pages - range.first));
    if (!runs.empty() && runs.back().layer == range.layer &&
        runs.back().first + runs.back().count == range.first) {
      runs.back().count += count;
    } else {
      runs.push_back({range.layer, range.first, count});
    }
  }
  return runs;
}

}  // namespace slacker
