// How a layer may have been compressed, by how its blob begins.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/export/compressor.h"

namespace slacker {

using Candidate = std::function<absl::StatusOr<std::unique_ptr<Compressor>>()>;

// Of a blob that begins with `head`, of a tar of so many bytes: what may have made it, the likelier
// first, at most some forty. None where no header is there that we know. The header of a gzip member
// tells the system, and something of the level; that of a zstd frame the window, the length and whether
// there is a checksum. `head` may be anything. Thread-safe.
std::vector<Candidate> CandidatesFor(std::string_view head, uint64_t tar_bytes);

}  // namespace slacker
