// Condemned objects (docs/adr/0015). trash/<name>, an empty object, stands for the object <name> that
// nothing refers to, which stays until it has been condemned for as long as the grace. A collection that
// is going to remove it first claims the mark: moves it to trash/<name>.<run>, which nobody else takes
// away, and which says "condemned" like the mark itself. The object is then moved to
// removed/<name>.<id>, from where it can be brought back. Nothing of this takes room in the store but
// for names.
//
// removed/<name>.<id> is written once. Whoever has seen it, has looked at all references afterwards, and has found none,
// may remove it: who declares the object later finds it missing. So nobody takes away what another one
// has just put there.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/upkeep/objects.h"

namespace slacker {

struct Condemned {
  std::string name;  // of the object
  ObjectId id;
  int64_t since = 0;      // by the store's clock
  std::string mark = {};  // its own name, trash/…
  std::string run = {};   // that has claimed it, or empty
};

// Both lists without what is foreign (objects.h).
absl::StatusOr<std::vector<Condemned>> ListTrash(Backend& backend);
// Of each object that was removed and can be brought back the names below removed/.
using Removed = std::map<std::string, std::vector<std::string>>;
absl::StatusOr<Removed> ListRemoved(Backend& backend);
// What was removed and is not condemned any more, which runs that died, or had no room, may leave, is
// condemned from now on, as far as there is room.
absl::Status CondemnRemoved(Backend& backend);

// From now on. OK also when the object is gone meanwhile.
absl::Status Condemn(Backend& backend, const std::string& name);

// Not any more, unless a collection has claimed it. REQUIRES: whoever needs it has declared that
// (references.h), and looks once more afterwards.
absl::Status Reprieve(Backend& backend, const std::string& name);

// The same for packs and their indexes that a collection may have claimed: one that lives, and finds its
// claim gone after the removal, puts them back.
absl::Status ReprieveClaimed(Backend& backend, const std::set<std::string>& names);

// Takes the mark for this run, whoever had it; false when it has gone. Nothing that was seen in the
// store before says anything about what may be removed.
absl::StatusOr<bool> Claim(Backend& backend, const std::string& run, Condemned* condemned);
// The other way round: condemned as before. OK also when another run has taken the claim.
absl::Status Release(Backend& backend, const Condemned& condemned);
// Whether a claim counts no more: its run began so many seconds ago. (Were that run still alive, no
// more would come of it than that an object is missing for a moment.)
bool IsAbandoned(const Condemned& condemned, int64_t now, int64_t after_seconds);

// Moves an object that is condemned to removed/, in one step whatever has come to have the name. Its
// name there; of an object that is gone nothing is there.
absl::StatusOr<std::string> MoveToRemoved(Backend& backend, const std::string& name, int64_t now);

// Looks at all references again, after the removal of these objects, but for packs: what has come into
// use is brought back, and so is everything while an intent cannot be read.
struct SecondLook {
  std::vector<std::string> restored;
  // Their images are not published any more, but nodes have them: what was removed must stay.
  std::vector<std::string> needed_by_nodes;
};
absl::StatusOr<SecondLook> LookAgain(Backend& backend, int64_t now,
                                     const std::vector<Condemned>& removed);

}  // namespace slacker
