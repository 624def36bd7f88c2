// The lock on a root directory: one slackerd per root. It is a flock(2), so it belongs to the open
// file description: whoever holds a copy of the descriptor holds the lock, which is how it can be
// handed from one daemon to the next without a gap. Move-only.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker {

class RootLock {
 public:
  // Makes <root> (0700) with its parents, and <root>/lock. FAILED_PRECONDITION when another daemon
  // has it.
  static absl::StatusOr<RootLock> Take(const std::string& root);
  // Goes on with a lock whose descriptor was received. INVALID_ARGUMENT when it is not the lock of
  // `root`.
  static absl::StatusOr<RootLock> Adopt(const std::string& root, UniqueFd fd);

  // To be passed on; stays owned by this object.
  int fd() const { return fd_.get(); }

 private:
  explicit RootLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace slacker
