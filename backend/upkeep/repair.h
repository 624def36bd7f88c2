// The mending part of fsck.h. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"
#include "backend/upkeep/fsck.h"

namespace slacker {

class Repairer {
 public:
  // `began`: by the store's clock, before the damages of `report` were looked for. The report gets what
  // was done, and what was left.
  Repairer(std::shared_ptr<Backend> backend, int64_t began, FsckReport* report);

  // Mends what can be mended of these damages.
  absl::Status Run();
  // Whether something that was damaged has been written anew meanwhile, and so was left as it is.
  bool met_others() const { return met_others_; }

 private:
  using Found = absl::flat_hash_map<Digest, std::pair<Digest, PackedChunk>>;  // pack, row

  // Moves aside what has the name of an object and is none: a link, a pipe, a directory.
  absl::Status MakeWay(const std::string& name);
  // Unless it has been written since: it is looked at before, and again where it is then.
  absl::Status MoveAside(const std::string& name, const std::string& why);
  // What was moved aside by mistake.
  absl::Status PutBack(const std::string& place, const std::string& name);
  // Whether the object `name`, which is at `place`, may have got there since the damages were looked for,
  // and not by this repair.
  absl::StatusOr<bool> IsAnew(const std::string& place, const std::string& name);
  // Of leases and intents: whether it has to be left.
  absl::StatusOr<bool> IsYoung(const std::string& name);
  // Of an image entry without a manifest, which is at `place`: whether that is there, or had been
  // removed and is back.
  absl::StatusOr<bool> RestoreManifest(const std::string& place, const std::string& image);
  // Locations that lead to sound chunks only, or nowhere.
  absl::Status RebuildLocations(const Digest& record);
  // One turn. Nothing is replaced where there is nothing to mend, or others have just written. No backend
  // can compare and replace in one step: what others write right before us is replaced. ABORTED: a
  // collection is removing packs that had the chunks; they are added to `gone`.
  struct Made {
    bool replaced = false;
    uint64_t lost = 0;  // chunks that the locations lead nowhere for
  };
  absl::StatusOr<Made> MakeLocations(const Digest& record, const TableVector<Chunk>& chunks,
                                     std::set<Digest>* gone);
  // Sound copies: in packs that are condemned only when there is no other, in those that are `gone`
  // never.
  absl::StatusOr<Found> PlacesOf(const Digest& record, const TableVector<Chunk>& chunks,
                                 const std::set<Digest>& gone);
  absl::Status RebuildPackIndex(const Digest& pack);
  // Everything referred to goes into another pack.
  absl::Status EmptyPack(const Digest& pack);
  absl::Status RebuildMergedIndexes(const std::set<std::string>& damaged);
  // Adds sound copies of the chunks that are not found yet, by the indexes of packs.
  absl::Status FindChunks(std::set<Digest> wanted,
                          const std::function<bool(const Digest& pack)>& may_be_in, Found* found);
  absl::StatusOr<bool> IsSound(const std::string& pack, const PackedChunk& chunk);
  void Note(const std::string& object, const std::string& what);

  const std::shared_ptr<Backend> backend_;
  const int64_t began_;
  const StoreReader reader_;
  FsckReport* const report_;
  bool met_others_ = false;
};

}  // namespace slacker
