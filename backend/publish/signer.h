// Signing what is published already: with a first key, or with the next one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/base/signature.h"
#include "backend/publish/verifier.h"
#include "backend/store/store.h"

namespace slacker {

struct SignReport {
  uint64_t manifests = 0;       // signed now
  uint64_t signed_already = 0;  // by this key
  uint64_t boot_packs = 0;      // with pages, signed now
  std::vector<Grant> grants;    // signed now
  std::vector<Damage> damages;  // if there are any, nothing was signed
  // What cannot be proved: manifests that cannot be read or are not signed by one of the trusted keys,
  // boot packs, and the grants of chains that nobody has one of by this key.
  std::vector<Damage> left;
};

// Signs manifests, grants and boot packs of one chain and of its prefixes, or all of them (nullopt). What
// is signed has been proved first: by the signature of one of `trust.keys`, or, without such keys, by
// recomputing every layer's diff ID from the store (verifier.h). Boot packs that nobody of these has
// signed are compared with the image. A boot pack has one signature: who trusts only the key before
// uses its pages no longer.
//
// Beside rm and gc: what is going to be signed is declared first (references.h), then looked at again. Chains that
// no image has by then are passed over; one that has been published anew since it was proved is in `left`.
//
// `observer`: as VerifyStore's, of the proving.
//
// Nothing in a store proves an unsigned grant. One is signed only if its repository ("" = everybody)
// is in `unsigned_grants`, which is what the caller says, and only if its chain has no grant with a
// signature: who signed that meant those.
//
// Errors: of one chain, NOT_FOUND (no image has it), FAILED_PRECONDITION (not signed by one of
// `trust.keys`) and DATA_LOSS, which are in `left` when all are signed; those of the store.
absl::StatusOr<SignReport> SignManifests(const std::shared_ptr<Backend>& backend,
                                         const std::optional<Digest>& chain_id,
                                         const SigningKey& key, const Trust& trust,
                                         const std::set<std::string>& unsigned_grants,
                                         const VerifyObserver& observer = nullptr);

}  // namespace slacker
