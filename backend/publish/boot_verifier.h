// Verifies a boot pack: its table, the records and every chunk in it.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/signature.h"
#include "backend/store/boot_pack.h"
#include "backend/store/store.h"

namespace slacker {

// The table, which describes what was found. DATA_LOSS: it is damaged, or does not fit the records that it names. NOT_FOUND: the chain has no
// boot pack, or a record that it leaves out is not in the store. Memory: the chunk tables of the
// chain's records, and a window. Thread-safe.
absl::StatusOr<BootTable> VerifyBootPack(const StoreReader& reader, const Digest& chain_id);

// Of a pack that is sound: the answer of CheckBootSignature to those keys. NOT_FOUND: there is none.
absl::Status VerifyBootSignature(ReadBackend& backend, const Digest& chain_id,
                                 const std::vector<PublicKey>& keys);

}  // namespace slacker
