// Signing what is published already: with a first key, or with the next one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
  std::vector<Damage> damages;  // if there are any, nothing was signed
  std::vector<Damage> left;     // boot packs that cannot be proved: to be made anew
};

// Signs manifests, grants and boot packs of one chain and of its prefixes, or all of them (nullopt). What
// is signed has been proved first: by the signature of one of `trust.keys`, or, without such keys, by
// recomputing every layer's diff ID from the store (verifier.h). Boot packs that nobody of these has
// signed are compared with the image. A boot pack has one signature: who trusts only the key before
// uses its pages no longer. Errors: NOT_FOUND (the chain is
// not published), FAILED_PRECONDITION (not signed by one of `trust.keys`), those of the store.
absl::StatusOr<SignReport> SignManifests(const std::shared_ptr<Backend>& backend,
                                         const std::optional<Digest>& chain_id,
                                         const SigningKey& key, const Trust& trust);

}  // namespace slacker
