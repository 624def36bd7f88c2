// System calls of the loopback backend. Thread-safe; errors are those of ErrnoError.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker::loopback {

// fsync of a directory.
absl::Status SyncDirectory(const std::string& path);
// mkdir (an existing directory is fine), then fsync of the parent.
absl::Status MakeDirectoryDurably(const std::string& path);
// "/a/b" of "/a/b/c".
std::string DirectoryOf(const std::string& path);
// True for a directory (a symbolic link to one counts).
bool IsDirectory(const std::string& path);

}  // namespace slacker::loopback
