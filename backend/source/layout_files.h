// The files of an image layout, wherever they are.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/layer/tar_reader.h"

namespace slacker {

// Thread-safe. Streams are thread-compatible and must not outlive it.
class LayoutFiles {
 public:
  virtual ~LayoutFiles() = default;
  // A regular file by its relative name ("blobs/sha256/…"). NOT_FOUND; INVALID_ARGUMENT: something
  // else has this name, or a link of this name leads out; else what the system says.
  virtual absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) = 0;
  // Absolute.
  virtual const std::string& path() const = 0;
};

// Nothing outside of `directory` is ever opened, whatever links there are in it. NOT_FOUND,
// INVALID_ARGUMENT (no name).
absl::StatusOr<std::unique_ptr<LayoutFiles>> OpenDirectory(std::string_view directory);

// At most `limit` bytes of a file, whole. RESOURCE_EXHAUSTED if there are more.
absl::StatusOr<std::string> ReadLayoutFile(LayoutFiles& files, const std::string& name,
                                           uint64_t limit);

// The name as it is shown and stored: absolute, without a '/' at the end.
std::string AbsolutePath(std::string_view path);

}  // namespace slacker
