// Reading directories of a store on NFS. Blocks; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/session.h"

namespace slacker::nfs {

// Calls `visit` for each file, of whatever type, in `directory` ("" is the root) and the directories below it,
// with its name in the store, the handle of its directory and when it was modified. ENOENT and
// ENOTDIR when there is no such directory; directories below that vanish meanwhile are skipped, and
// so are names that cannot be an object's or a temporary file's. RESOURCE_EXHAUSTED beyond
// kMaxEntries entries: no store has so many layers, and they are in memory at once, with their handles.
inline constexpr uint64_t kMaxEntries = 4 << 20;
// In a row; a server with small pages may have one.
inline constexpr int kMaxEmptyPages = 16;
struct FileVisit {
  std::string name;
  Handle directory;
  int64_t modified_unix_seconds;
  FileType type;
};
absl::Status WalkFiles(Session* session, const std::string& directory,
                       const std::function<void(const FileVisit&)>& visit);

// The entries of one directory, page after page. RESOURCE_EXHAUSTED beyond `max_entries`, and where page
// after page has nothing but "." and "..": a server may go on with that for ever.
using ReadPage = std::function<absl::StatusOr<DirectoryPage>(uint64_t cookie, uint64_t verifier)>;
absl::StatusOr<std::vector<DirectoryEntry>> ReadPages(const ReadPage& read, uint64_t max_entries);

// Removes the temporary files that have not been modified since `modified_before`. Best effort.
void SweepTemporaries(Session* session, int64_t modified_before);

}  // namespace slacker::nfs
