// The digest of a paged object (paged_object.h) by its own account: where nothing else names it, this shows
// whether it is still what was written.
#pragma once

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/paged_object.h"

namespace slacker {

// Reads the header: its digest is the object's, if the rest fits it. DATA_LOSS: it is cut short, or no
// header can be so long; or what `bytes` answers. Thread-safe.
absl::StatusOr<Digest> StatedDigest(ObjectBytes& bytes);

}  // namespace slacker
