// Which chunks a store has, and where: what a publication asks so that it does not write them again.
//
// Nothing is read before the first question. Then indexes of single packs are read into memory, and
// of merged ones (index_file.h) the directories; a question that memory does not answer is one read
// of some 3 KiB from each merged index, of which there are few. Should the single ones list more than
// kMaxLooseChunks, they are merged first.
//
// Memory: some 30 MB for loose indexes, and 2 MB for each 10 million chunks in merged ones.
//
// What is damaged, or missing, is as if it did not exist: its chunks are unknown and will be stored
// again. Packs that maintenance has condemned (a name below trash/) do not count. Thread-safe; blocks
// on the store; no lock is held meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "backend/store/index_file.h"

namespace slacker {

struct KnownChunk {
  Digest pack;
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  bool compressed = false;
};

class KnownChunks {
 public:
  static constexpr uint64_t kMaxLooseChunks = 256 << 10;

  // CondemnedNames (references.h) at the time that the publication began.
  KnownChunks(Backend* backend, absl::flat_hash_set<std::string> condemned,
              uint64_t max_loose_chunks = kMaxLooseChunks);
  ~KnownChunks();

  // Only chunks whose pack is there and not cut short. An error means that the store did not
  // answer.
  absl::StatusOr<std::optional<KnownChunk>> Find(const Digest& digest);

  // Frees what was read; a question reads it again.
  void Forget();
  // The same, for what maintenance has condemned, moved and removed until now. REQUIRES: no question is
  // under way.
  void Renew(absl::flat_hash_set<std::string> condemned);

  // Whether a pack is there with at least so many bytes, and not condemned: what a look at it can
  // tell. Each pack is looked at once.
  absl::StatusOr<bool> HasPack(const std::string& name, uint64_t min_bytes);
  bool IsCondemned(const std::string& name) const;

 private:
  struct Loaded;
  absl::StatusOr<std::shared_ptr<const Loaded>> Load();
  // Loads once; those who come meanwhile wait.
  absl::StatusOr<std::shared_ptr<const Loaded>> Get();
  absl::StatusOr<std::optional<KnownChunk>> FindIn(const Loaded& loaded, const Digest& digest,
                                                   bool* stale);
  // One line for each index, however many of its chunks are asked for.
  void WarnOnce(const std::string& index, const absl::Status& status);

  Backend* const backend_;
  const uint64_t max_loose_chunks_;
  mutable Mutex mutex_;
  CondVar changed_;
  absl::flat_hash_set<std::string> condemned_ ABSL_GUARDED_BY(mutex_);
  bool loading_ ABSL_GUARDED_BY(mutex_) = false;
  // Shared with the questions under way: a merge by somebody else makes us load again.
  std::shared_ptr<const Loaded> loaded_ ABSL_GUARDED_BY(mutex_);
  // Of the packs looked at; 0 = missing.
  absl::flat_hash_map<std::string, uint64_t> pack_bytes_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::string> warned_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker
