// Making the locations of a record anew: the part of a repair (fsck.h) that finds out where chunks are.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/references.h"
#include "backend/store/store.h"
#include "backend/upkeep/set_aside.h"
#include "backend/upkeep/sound_chunks.h"

namespace slacker {

class LocationsRepair {
 public:
  LocationsRepair(std::shared_ptr<Backend> backend, SetAside* aside)
      : backend_(std::move(backend)), reader_(backend_), aside_(aside) {}

  // Locations that lead to sound chunks only, or nowhere; those of no record are moved aside.
  absl::Status Rebuild(const Digest& record);

 private:
  // One turn. Nothing is replaced where there is nothing to mend, or others have just written. No backend
  // can compare and replace in one step: what others write right before us is replaced. ABORTED: a
  // collection is removing packs that had the chunks; they are added to `gone`.
  struct Made {
    bool replaced = false;
    uint64_t lost = 0;  // chunks that the locations lead nowhere for
  };
  absl::StatusOr<Made> Make(const Digest& record, const TableVector<Chunk>& chunks,
                            std::set<Digest>* gone);
  // Sound copies: in packs that are condemned only when there is no other, in those that are `gone`
  // never.
  absl::StatusOr<FoundChunks> PlacesOf(const Digest& record, const TableVector<Chunk>& chunks,
                                       const std::set<Digest>& gone);
  // Declares what the locations are going to lead to; ABORTED as above.
  absl::Status RelyOn(const std::set<Digest>& packs, std::set<Digest>* gone, Intent* intent);

  const std::shared_ptr<Backend> backend_;
  const StoreReader reader_;
  SetAside* const aside_;
};

}  // namespace slacker
