// Reading directories of a store on NFS. Blocks; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backend/nfs/session.h"

namespace slacker::nfs {

// Calls `visit` for each file, of whatever type, in `directory` ("" is the root) and the directories below it,
// with its name in the store, the handle of its directory and when it was modified. ENOENT and
// ENOTDIR when there is no such directory; directories below that vanish meanwhile are skipped, and
// so are names that cannot be an object's or a temporary file's. RESOURCE_EXHAUSTED beyond
// kMaxEntries entries: no store has so many.
inline constexpr uint64_t kMaxEntries = 64 << 20;
struct FileVisit {
  std::string name;
  Handle directory;
  int64_t modified_unix_seconds;
  FileType type;
};
absl::Status WalkFiles(Session* session, const std::string& directory,
                       const std::function<void(const FileVisit&)>& visit);

// Removes the temporary files that have not been modified since `modified_before`. Best effort.
void SweepTemporaries(Session* session, int64_t modified_before);

}  // namespace slacker::nfs
