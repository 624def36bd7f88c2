// System calls of the loopback backend. Thread-safe; errors are those of ErrnoError.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker::loopback {

// Of a call that writes at `path`: ErrnoError, which says so when no inode is left.
absl::Status WriteError(int error, const std::string& what, const std::string& path);
// fsync of a directory.
absl::Status SyncDirectory(const std::string& path);
// mkdir (an existing directory is fine), then fsync of the parent.
absl::Status MakeDirectoryDurably(const std::string& path);
// "/a/b" of "/a/b/c".
std::string DirectoryOf(const std::string& path);
// Removes the temporary files (IsTemporaryName) of regular type in `directory` and the directories
// below it that were last modified before `modified_before` (seconds since 1970). Best effort: what
// cannot be looked at or removed stays. Symbolic links are not followed.
void SweepTemporaries(const std::string& directory, int64_t modified_before);
// True for a directory (a symbolic link to one counts).
bool IsDirectory(const std::string& path);
// Whether file systems of a type (statfs(2), f_type) are known to be of this machine alone.
bool IsOfThisMachine(uint32_t type);
// Whether a path, or its nearest parent that exists, is on a file system that may be of others, too;
// also when nobody can tell.
bool IsOnNetwork(std::string path);

}  // namespace slacker::loopback
