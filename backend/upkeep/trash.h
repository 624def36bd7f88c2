// Condemned objects (docs/adr/0015). trash/<name> stands for the object <name> that nothing refers
// to: for a pack or its index an empty object, for all others a copy. The object
// itself stays until it has been condemned for as long as the grace; its copy until nobody can come
// to need it any more.
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

// Whether objects of this kind are ever condemned, and whether their trash is a copy.
bool IsCondemnable(ObjectKind kind);
bool IsCopiedToTrash(ObjectKind kind);

absl::StatusOr<std::vector<Condemned>> ListTrash(Backend& backend);

// OK also when the object is gone meanwhile, or condemned already.
absl::Status Condemn(Backend& backend, const std::string& name);
// Takes that back. The object is left as it is.
absl::Status Reprieve(Backend& backend, const std::string& name);

// Removes an object of a kind that is copied, if it is still what its copy says; false if it has
// changed since. OK also when it is gone.
absl::StatusOr<bool> RemoveCopied(Backend& backend, const std::string& name);

// Looks at all references again, after the removal of objects that are copied: what has come into
// use is brought back.
struct SecondLook {
  std::vector<std::string> restored;
  // Their images are not published any more, but nodes have them: the copy must stay.
  std::vector<std::string> needed_by_nodes;
};
absl::StatusOr<SecondLook> LookAgain(Backend& backend, int64_t now,
                                     const std::vector<Condemned>& removed);

}  // namespace slacker
