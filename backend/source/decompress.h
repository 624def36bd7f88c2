// Layer blobs as tar streams.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "backend/layer/tar_reader.h"

namespace slacker {

// Unpacks gzip (any number of members) and zstd (any number of frames, windows up to 512 MiB);
// what begins like neither is passed through. The stream's own first bytes decide, since there are
// images whose media types are wrong; containerd does the same.
//
// Reads `compressed` to its end before it answers its own end, so that a check at the end of
// `compressed` covers all of it. INVALID_ARGUMENT: damaged, truncated, or garbage behind the last
// member, or a larger window, which containerd does not unpack either. RESOURCE_EXHAUSTED: more than
// `max_output_bytes`. Memory does not depend on the input, but for zstd windows of up to 16 MiB; larger
// ones lie in files (spill.h).
std::unique_ptr<ByteSource> Decompress(std::unique_ptr<ByteSource> compressed,
                                       uint64_t max_output_bytes);

// Whether a stream that begins with `head` would be unpacked.
bool IsCompressed(std::string_view head);

}  // namespace slacker
