// zstd, for small pieces of known size (pages of records, chunks in packs). Every piece is one
// frame. Thread-safe; each thread keeps one working context.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace slacker {

inline constexpr int kDefaultZstdLevel = 3;

// Appends `data` to `out`, compressed if that saves anything worth having (one part in sixteen),
// else as it is. Returns whether it was compressed. `level` is clamped to what zstd knows.
bool CompressOrStore(std::string_view data, int level, std::string* out);

// Decompresses one frame that must yield exactly `size` bytes, and hands them over in `out`.
// Nothing beyond `size` bytes is ever allocated or written. DATA_LOSS otherwise.
absl::Status DecompressExactly(std::string_view stored, size_t size, std::string* out);
// The same for one that yields at most `limit` bytes; `out` is those that it yields.
absl::Status DecompressUpTo(std::string_view stored, size_t limit, std::string* out);

}  // namespace slacker
