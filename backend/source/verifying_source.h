// Streams that are checked on their way.
#pragma once

#include <memory>
#include <string>

#include "backend/base/digest.h"
#include "backend/layer/tar_reader.h"

namespace slacker {

// Passes `inner` through; where it ends, DATA_LOSS unless it had exactly `size_bytes` bytes with
// this digest. Ends with DATA_LOSS as soon as there are more. `what` names it in messages.
std::unique_ptr<ByteSource> VerifyStream(std::unique_ptr<ByteSource> inner, const Digest& digest,
                                         uint64_t size_bytes, std::string what);

// Reads to the end. RESOURCE_EXHAUSTED when there are more than `limit` bytes.
absl::StatusOr<std::string> ReadAll(ByteSource& source, uint64_t limit);

}  // namespace slacker
