// Condemned objects (docs/adr/0015). trash/<name>, an empty object, stands for the object <name> that
// nothing refers to, which stays until it has been condemned for as long as the grace. Packs and their
// indexes, whose names need not come back, are then removed; all others are moved to removed/<name>,
// where they stay until nobody can come to need them any more. Nothing of this takes room in the store
// but for names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/upkeep/objects.h"

namespace slacker {

struct Condemned {
  std::string name;  // of the object
  ObjectId id;
  int64_t since = 0;  // by the store's clock
};

// Whether objects of this kind are ever condemned, and whether they may be needed again under their
// names once they have been removed.
bool IsCondemnable(ObjectKind kind);
bool MayComeBack(ObjectKind kind);

absl::StatusOr<std::vector<Condemned>> ListTrash(Backend& backend);
// What was removed and is not condemned any more, which two collections at once may leave, is condemned
// from now on.
absl::Status CondemnRemoved(Backend& backend);

// From now on. OK also when the object is gone meanwhile.
absl::Status Condemn(Backend& backend, const std::string& name);
// Takes that back, and forgets what was removed. The object is left as it is.
absl::Status Reprieve(Backend& backend, const std::string& name);

// Removes an object that is condemned. OK also when it is gone.
absl::Status RemoveCondemned(Backend& backend, const std::string& name);

// Looks at all references again, after the removal of objects that may come back: what has come into
// use is brought back.
struct SecondLook {
  std::vector<std::string> restored;
  // Their images are not published any more, but nodes have them: what was removed must stay.
  std::vector<std::string> needed_by_nodes;
};
absl::StatusOr<SecondLook> LookAgain(Backend& backend, int64_t now,
                                     const std::vector<Condemned>& removed);

}  // namespace slacker
