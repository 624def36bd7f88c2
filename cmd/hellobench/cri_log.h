// Reads a container's log file as CRI defines it: one record a line, "TIME STREAM TAG TEXT", with
// STREAM "stdout" or "stderr" and TAG "F" for a whole line, "P" for a part of one.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {

// What a container wrote: both streams, as far as the file goes. A record that is still being
// written is left for the next call; a malformed one is skipped.
std::string ParseCriLog(std::string_view log);

// Follows one log file. Thread-compatible.
class CriLogFollower {
 public:
  explicit CriLogFollower(std::string path);

  // Everything that was written until now; empty while the file is not there.
  // Errors: as of reading; RESOURCE_EXHAUSTED past kMaxBytes.
  absl::StatusOr<std::string> Read() const;

  // Returns when something in the log's directory has changed since the last call (or since construction), at the
  // latest after `limit`.
  void WaitForChange(std::chrono::milliseconds limit) const;

  static constexpr size_t kMaxBytes = size_t{64} << 20;

 private:
  const std::string path_;
  const UniqueFd changes_;  // inotify on the directory
};

}  // namespace slacker::hellobench
