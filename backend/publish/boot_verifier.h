// Verifies a boot pack: its table, the records and every chunk in it.
#pragma once

#include "absl/status/status.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

// DATA_LOSS: it is damaged, or does not fit the records that it names. NOT_FOUND: the chain has no
// boot pack, or a record that it leaves out is not in the store. Memory: the chunk tables of the
// chain's records, and a window. Thread-safe.
absl::Status VerifyBootPack(const StoreReader& reader, const Digest& chain_id);

}  // namespace slacker
