// Verification of one pack and its index, whether or not any layer refers to it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/pack_index.h"

namespace slacker {

// Reads the pack once: OK when its bytes have the digest that is its name, it is as long as the
// index says, and every chunk of the index is in it under its digest. DATA_LOSS with the first
// damage, NOT_FOUND when there is no pack, or why the store did not answer. Memory: some 8 MiB.
// `read`: called with the number of bytes after each read; may be null. Thread-safe.
absl::Status VerifyPack(ReadBackend& backend, const PackIndex& index,
                        const std::function<void(uint64_t bytes)>& read = nullptr);
// The same of a pack that nothing tells about but its name.
absl::Status VerifyPackBytes(ReadBackend& backend, const Digest& pack,
                             const std::function<void(uint64_t bytes)>& read = nullptr);

}  // namespace slacker
