// The boot pack of an image that is published: made of a guess (backend/startup) until starts were seen.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/base/signature.h"
#include "backend/store/boot_writer.h"

namespace slacker {

// Writes the boot pack of a chain whose records (bottom first), locations and packs are in the store, unless there
// is an equally good one (HasBootPack): then one read and one look are all. Made of the traces of starts that are
// merged in the store, signed with `key` (PublishTraces), or else of a guess. With a key, one that neither this nor
// any of `trusted_keys` has signed is not as good. What cannot be guessed,
// or read because it is damaged, costs a line in the log and the pack, no more. Errors: the store
// does not answer, or takes no objects. Thread-safe.
absl::Status PublishBootPack(const std::shared_ptr<Backend>& backend, const Digest& chain_id,
                             const std::vector<Digest>& records, const std::string& config_json,
                             const SigningKey* key, const std::vector<PublicKey>& trusted_keys);

}  // namespace slacker
