// Small files of a node, written so that a crash leaves the old content or the new one. Errors are
// those of ErrnoError; NOT_FOUND where said. Thread-safe (for different paths).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"

namespace slacker {

// Files that are being written end in this; what a crash leaves of them goes at the next start.
inline constexpr std::string_view kAsideSuffix = ".new";

// Creates the directory and what of its path is missing, 0755. OK when it is there.
absl::Status MakeDirectories(const std::string& path);

// Writes `path` + kAsideSuffix, syncs it and renames it into place. The name itself is durable
// after SyncDirectory of the parent. Two writers of one path must not overlap.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content);
// The same for content that `write` hands over piece by piece; its error leaves the old file.
using FileSink = std::function<absl::Status(std::string_view bytes)>;
absl::Status WriteFileAtomically(const std::string& path,
                                 const std::function<absl::Status(const FileSink& sink)>& write);

absl::Status SyncDirectory(const std::string& path);

// NOT_FOUND: no such file. RESOURCE_EXHAUSTED: it is larger than `limit`. DATA_LOSS: it is no plain
// file.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t limit);
// The first `size` bytes of a file of any size, or all of a shorter one. NOT_FOUND, DATA_LOSS as above.
absl::StatusOr<std::string> ReadFileStart(const std::string& path, uint64_t size);

// Of a file of any size. NOT_FOUND as above.
struct FileDigest {
  uint64_t size_bytes = 0;
  Digest digest;
};
absl::StatusOr<FileDigest> DigestOfFile(const std::string& path);

// Names without "." and ".."; empty when the directory does not exist.
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);

// `name` without kAsideSuffix, if it ends so: the file that was to become.
std::string_view WithoutAside(std::string_view name);
// The ID in `<id><suffix>`, as we write it, nothing for any other name.
std::optional<uint64_t> IdOfName(std::string_view name, std::string_view suffix);

// unlink(2); OK when it is not there.
absl::Status RemoveFile(const std::string& path);

// Where the tree of an image is mounted.
std::string TreePath(const std::string& root, uint64_t image_id);

// 512 × st_blocks; 0 when there is no such file.
int64_t AllocatedBytes(const std::string& path);

}  // namespace slacker
