// Mending packs and their indexes: the part of a repair (fsck.h) that sees to it that publishers find sound
// chunks only. Thread-compatible.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"
#include "backend/upkeep/set_aside.h"

namespace slacker {

class PackRepair {
 public:
  PackRepair(std::shared_ptr<Backend> backend, SetAside* aside)
      : backend_(std::move(backend)), reader_(backend_), aside_(aside) {}

  // Of those chunks alone that are sound, as far as its old index and locations tell.
  absl::Status RebuildIndex(const Digest& pack);
  // Everything referred to goes into another pack; then the damaged one is moved aside, unless something
  // still leads to it.
  absl::Status Empty(const Digest& pack);
  // These objects, and those that repeat what indexes said before they were made anew.
  absl::Status RebuildMergedIndexes(std::set<std::string> damaged);

 private:
  using Rows = std::map<Digest, PackedChunk>;
  // Adds what locations say of the pack.
  absl::Status AddLocated(const Digest& pack, Rows* rows);
  // Whether nothing leads to the pack, and nothing will: who comes to need it from now on, sees that
  // it is condemned.
  absl::StatusOr<bool> CondemnIfUnused(const Digest& pack);

  const std::shared_ptr<Backend> backend_;
  const StoreReader reader_;
  SetAside* const aside_;
  std::set<Digest> rebuilt_;  // packs whose indexes say something else now
};

}  // namespace slacker
