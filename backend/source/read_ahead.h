// A stream that is produced on a thread of its own.
#pragma once

#include <memory>

#include "backend/layer/tar_reader.h"

namespace slacker {

// Reads `inner` ahead, at most `max_bytes` (and one block of the inner stream) of it. Begins at
// once. An error of `inner` is answered after the bytes before it. The destructor waits for the
// inner Next() that is under way. Where the node has no thread left for it, nothing is read ahead.
std::unique_ptr<ByteSource> ReadAhead(std::unique_ptr<ByteSource> inner, uint64_t max_bytes);

}  // namespace slacker
