// Who suffers from a damaged object.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "backend/publish/verifier.h"

namespace slacker {

// Sets `images` of each damage: the published images that need the object, by name, in order, each once
// (platforms and all). None: an object of no image, or of one whose own entry or manifest is lost.
// And `unused`: no image entry, publication under way or lease leads there (mark.h); false where nobody can tell,
// because something on the way is damaged.
// Reads every manifest, and every layer's locations if a pack is among the damages, twice; what cannot be
// read leads nowhere. Nothing is read without damage.
absl::Status NameUsers(Backend& backend, std::vector<Damage>* damages);

}  // namespace slacker
