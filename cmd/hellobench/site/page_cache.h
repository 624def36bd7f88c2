// What the page cache has of files.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

// Of an open regular file, in whole pages. Errors: those of cachestat(2), or of mincore(2) where there
// is none of it (before Linux 6.5).
absl::StatusOr<int64_t> CachedBytes(int fd, int64_t size_bytes);

// Drops what there is of all regular files below `directory`, if there is one, and looks whether it is gone. REQUIRES:
// they have been written to the disk. FAILED_PRECONDITION: a file of which something stays, because
// somebody maps or changes it.
absl::Status DropPages(const std::string& directory);

// Reads all regular files below `directory`, if there is one, and looks whether they are there. FAILED_PRECONDITION: a file
// of which something is not, because there is too little memory for all.
absl::Status ReadPages(const std::string& directory);

}  // namespace slacker::hellobench
