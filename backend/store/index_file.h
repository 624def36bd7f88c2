// Indexes of packs where they lie in the store: read in parts, found, and merged into larger ones
// (docs/formats.md, "Packs").
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/pack_index.h"

namespace slacker {

// An index of which only the directory is in memory (4 bytes for some 50 chunks, 40 for a pack).
// Thread-safe.
class IndexFile {
 public:
  // DATA_LOSS when the directory is damaged; NOT_FOUND; errors of the store.
  static absl::StatusOr<IndexFile> Open(ReadBackend* backend, std::string name, const Digest& id);

  // By one read. DATA_LOSS when that part of the index is damaged.
  absl::StatusOr<std::optional<PackedChunk>> Find(const Digest& digest) const;
  // The rows of the buckets [first, end) together: by one read, unless they are very long. Damaged buckets
  // are left out and counted; all of them when the index is gone. So are those after the first
  // kMaxRowsAtOnce rows: buckets that are asked for together have a quarter of that.
  static constexpr uint64_t kMaxRowsAtOnce = uint64_t{1} << 20;
  absl::StatusOr<std::vector<PackedChunk>> ReadBuckets(uint32_t first, uint32_t end,
                                                       uint64_t* damaged) const;

  const IndexDirectory& directory() const { return directory_; }
  const std::string& name() const { return name_; }

 private:
  IndexFile(ReadBackend* backend, std::string name, IndexDirectory directory)
      : backend_(backend), name_(std::move(name)), directory_(std::move(directory)) {}

  ReadBackend* backend_;
  std::string name_;
  IndexDirectory directory_;
};

// What there is. Packs that are missing, or condemned (their name is below trash/), do not count.
struct IndexCatalog {
  std::set<Digest> packs;         // with a name in the store
  std::vector<IndexFile> merged;  // the largest first
  std::vector<Digest> loose;      // packs whose own index no merged one stands for
};
// Damaged merged indexes are left out: what they stand for is loose then.
absl::StatusOr<IndexCatalog> OpenIndexes(Backend& backend);

struct IndexMerge {
  std::string written;                  // "" = there was nothing to merge
  std::vector<std::string> superseded;  // merged indexes that it stands for: removed
  uint64_t chunks = 0;
  uint64_t damaged_parts = 0;  // left out: what they list will be stored again
};
// Merges loose indexes, and merged ones that are not much larger than these, into one, and removes
// those merged ones; whoever reads one of them meanwhile has to open the indexes again. Memory: some
// 50 MB and the directories, whatever their size.
absl::StatusOr<IndexMerge> MergeIndexes(Backend& backend, const IndexCatalog& catalog);

}  // namespace slacker
