// What of a file the page cache has.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace slacker::testing {

// Of the first `bytes` of a file or device, by page (mincore(2)); empty when it cannot be told.
inline std::vector<bool> CachedPages(const std::string& path, size_t bytes) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  void* const mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return {};
  std::vector<unsigned char> pages((bytes + 4095) / 4096);
  const bool known = mincore(mapped, bytes, pages.data()) == 0;
  (void)munmap(mapped, bytes);
  if (!known) return {};
  std::vector<bool> cached;
  for (const unsigned char page : pages) cached.push_back((page & 1) != 0);
  return cached;
}

inline bool IsCached(const std::string& path, size_t bytes) {
  const std::vector<bool> pages = CachedPages(path, bytes);
  return !pages.empty() && std::all_of(pages.begin(), pages.end(), [](bool page) { return page; });
}

}  // namespace slacker::testing
