// Follows a container's log file as CRI defines it: one record a line, "TIME STREAM TAG TEXT", with
// STREAM "stdout" or "stderr" and TAG "F" for a whole line, "P" for a part of one.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {

// Thread-compatible.
class CriLogFollower {
 public:
  // The file need not be there yet, its directory must.
  explicit CriLogFollower(std::string path);

  // Adds to text() what was written since the last call. A record that is still being written is
  // left for the next call; a malformed one is skipped.
  // Errors: as of reading; RESOURCE_EXHAUSTED past kMaxBytes.
  absl::Status Read();

  // What the container wrote, both streams.
  const std::string& text() const { return text_; }

  // Returns when something in the log's directory has changed since the last call (or since construction), at the
  // latest after `limit`.
  void WaitForChange(std::chrono::milliseconds limit) const;

  static constexpr size_t kMaxBytes = size_t{64} << 20;

 private:
  const std::string path_;
  const UniqueFd changes_;  // inotify on the directory
  UniqueFd file_;           // invalid until it was there
  std::string unfinished_;  // the beginning of a record
  std::string text_;
};

}  // namespace slacker::hellobench
