// /etc/ld.so.cache, the index of shared libraries that glibc's ldconfig writes: a file of an image,
// so of bytes that nobody vouches for. Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace slacker {

inline constexpr uint64_t kMaxLibraryCacheBytes = 4 << 20;

// Paths by library name, in the order in which the cache has them; a name may have several, for
// other machines or processors. What cannot be understood is left out: an unknown format gives none.
absl::flat_hash_map<std::string, std::vector<std::string>> ReadLibraryCache(std::string_view bytes);

}  // namespace slacker
