// Who says that an image is so, and who may have it: for people.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/manifest_codec.h"

namespace slacker {

// IDs of the keys under which a chain has a manifest, sorted; whether their signatures are good is
// not looked at (backend/publish/verifier.h does). Errors: the store's.
absl::StatusOr<std::vector<Digest>> ListSigners(Backend& backend, const Digest& chain_id);

// The grants of a chain, sorted by repository and key; their signatures are not looked at. DATA_LOSS
// for an object that is none of its grants; else the store's errors.
absl::StatusOr<std::vector<UnprovedGrant>> ListGrants(Backend& backend, const Digest& chain_id);

}  // namespace slacker
