// How a compressed layer blob begins (docs/adr/0039): a hint for who has to make it again. Nothing of it
// is signed. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"

namespace slacker {

// So many bytes of the blob are kept, or all of them.
inline constexpr uint64_t kHeadBytes = 1024;

// Leaves one that is there as it is. REQUIRES: the store has the record; at most kHeadBytes.
absl::Status WriteBlobHead(Backend& backend, const Digest& record, const Digest& blob,
                           std::string_view head);
// The object called `name` (names.h, HeadName). NOT_FOUND; DATA_LOSS when it is damaged.
absl::StatusOr<std::string> ReadBlobHead(ReadBackend& backend, const std::string& name);

}  // namespace slacker
