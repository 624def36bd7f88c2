// Checking a store from end to end, and mending what can be mended.
//
// Checked: everything that verification of a whole store looks at (backend/publish/verifier.h: manifests, grants,
// records, tar parts, locations, packs, their indexes, image entries; every chunk against its digest, every layer's tar
// against its diff ID; also what nothing leads to), and beside that merged indexes, leases, intents, traces and
// requests.
//
// Repair never deletes what is referred to. It moves aside (to quarantine/, so that the name is
// free for a sound object) manifests, grants, image entries, records, tar parts, leases and intents that
// are damaged, locations without a record, and packs that nothing leads to any more; and makes anew, from what else is there:
//   the index of a pack       from the records and locations that lead into the pack
//   locations of a record     from the indexes of all packs
//   a chunk that is damaged   another copy of it, if an index knows one; else its location leads nowhere
//                             from then on, so that publishing its image again stores it again
//   merged indexes            from the indexes of the packs
//
// Leases and intents that were written within the last day are left where they are: they may keep what
// garbage collection would remove. So is what has been written since the
// check began, or up to ten seconds before: it may be another one than was found damaged.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/publish/verifier.h"
#include "backend/store/store.h"

namespace slacker {

struct FsckReport {
  VerifyReport verified;             // with the damages that are left
  std::vector<Damage> repaired;      // `what` says how
  std::vector<Damage> left;          // not touched by repair; `what` says why
  std::vector<std::string> foreign;  // objects that are not the store's
  // Chains with manifests, as folders of these, that no image entry leads to: `rm` died, or a publication
  // did. Not damage: nodes may have them, and garbage collection takes them.
  std::vector<std::string> unnamed;
};

// An error only when the store does not answer, or what it has cannot be replaced. Takes as long as
// reading everything; with `repair`, and damage, twice. Memory: as for verification; repair needs
// some 60 bytes for each chunk of the layer, or the pack, at hand.
absl::StatusOr<FsckReport> CheckStore(const std::shared_ptr<Backend>& backend, const Trust& trust,
                                      bool repair, const VerifyObserver& observer = nullptr);

}  // namespace slacker
