// trace record: watches a command that runs in an image.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "backend/store/start_trace.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/mount/lazy_mount.h"

namespace slacker::ctl {

struct RecordOptions {
  MountOptions mount;  // its directory and observer are ours
  int64_t seconds = 30;
  std::vector<std::string> command;  // empty: what the image runs
};

class ImageProcess;

// Holds SIGINT, SIGTERM and SIGHUP back; they arrive at the descriptor instead. REQUIRES: there are no
// threads yet, which would still die of them.
absl::StatusOr<UniqueFd> BlockInterrupts();

// Mounts the image on a directory of its own, runs the command in it, and returns what it read until
// it ended, or the time was over: it is killed then. `process` was forked before this program had
// threads. FAILED_PRECONDITION: not root, or there is nothing to run, or the command failed;
// CANCELLED: by one of the interrupts.
absl::StatusOr<StartTrace> RecordStart(const RecordOptions& options, const ReadableImage& image,
                                       ImageProcess& process, const UniqueFd& interrupts,
                                       const Console& console);

}  // namespace slacker::ctl
