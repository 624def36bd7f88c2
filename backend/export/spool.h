// Bytes of unknown length, kept in a file without a name until it is known where they go.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker {

// In the directory for temporary files ($TMPDIR, or else /tmp); gone with the object, or the
// process. Thread-compatible.
class Spool {
 public:
  static absl::StatusOr<Spool> Open();
  static absl::StatusOr<Spool> Of(std::string_view bytes);

  absl::Status Append(std::string_view bytes);
  // Writes over what is there. REQUIRES: within size_bytes().
  absl::Status Overwrite(uint64_t offset, std::string_view bytes);
  uint64_t size_bytes() const { return size_bytes_; }
  // For a program that writes into it, from its beginning; then Measure() finds how much.
  int fd() const { return file_.get(); }
  absl::Status Measure();
  // The next bytes from `offset`, at most 256 KiB of them; empty at the end.
  absl::StatusOr<std::string> Read(uint64_t offset) const;
  // All of it, piece by piece.
  absl::Status ReadAll(const std::function<absl::Status(std::string_view)>& sink) const;

 private:
  explicit Spool(UniqueFd file) : file_(std::move(file)) {}

  UniqueFd file_;
  uint64_t size_bytes_ = 0;
};

}  // namespace slacker
