// The mending part of fsck.h. Thread-compatible.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/publish/verifier.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"

namespace slacker {

class Repairer {
 public:
  explicit Repairer(std::shared_ptr<Backend> backend);

  // Mends what can be mended of these damages; adds what it did to `repaired`.
  absl::Status Run(const std::vector<Damage>& damages, std::vector<Damage>* repaired);

 private:
  using Found = absl::flat_hash_map<Digest, std::pair<Digest, PackedChunk>>;  // pack, row

  // Moves aside what has the name of an object and is none: a link, a pipe, a directory.
  absl::Status MakeWay(const std::string& name);
  absl::Status MoveAside(const std::string& name, const std::string& why);
  // Of an image entry without a manifest: whether it had been removed, and is back.
  absl::StatusOr<bool> RestoreManifest(const std::string& image);
  // Locations that lead to sound chunks only, or nowhere.
  absl::Status RebuildLocations(const Digest& record);
  absl::Status RebuildPackIndex(const Digest& pack);
  // Everything referred to goes into another pack.
  absl::Status EmptyPack(const Digest& pack);
  absl::Status RebuildMergedIndexes(const std::set<std::string>& damaged);
  // Sound copies of the chunks, by the indexes of all packs.
  absl::StatusOr<Found> FindChunks(std::set<Digest> wanted);
  absl::StatusOr<bool> IsSound(const std::string& pack, const PackedChunk& chunk);
  void Note(const std::string& object, const std::string& what);

  const std::shared_ptr<Backend> backend_;
  const StoreReader reader_;
  std::vector<Damage>* repaired_ = nullptr;
};

}  // namespace slacker
