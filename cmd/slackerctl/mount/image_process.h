// A command that runs in a mounted image as it would in a container, but for what isolates: in
// namespaces of its own for mounts, processes, names of the host and IPC, on a writable overlay in
// memory, with /proc and the machine's /dev; with the machine's network, as root. It has a PATH and a
// HOME, as in a container, and copies of the machine's /etc/hosts, /etc/hostname and /etc/resolv.conf.
// What it writes to its output goes to our standard error.
//
// The process is forked before this program has threads, and waits for Start: so it may do all that
// it needs to before it becomes the command. It ends with us, whatever happens.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker::ctl {

struct ImageCommand {
  std::vector<std::string> arguments;    // the first is looked for along PATH of `environment`
  std::vector<std::string> environment;  // NAME=value
  std::string working_directory;         // "" = /
};

// Thread-compatible.
class ImageProcess {
 public:
  // REQUIRES: this process has one thread.
  static absl::StatusOr<ImageProcess> Fork();
  ~ImageProcess();
  ImageProcess(ImageProcess&& other) noexcept;
  ImageProcess& operator=(ImageProcess&&) = delete;

  // Lets it run on top of the directory `image`. `scratch`: an existing directory, for its own use.
  absl::Status Start(const std::string& image, const std::string& scratch,
                     const ImageCommand& command);

  // Waits at most so long; a signal of `interrupts` (a signalfd, or -1) ends the wait as well. The
  // exit status as shells have it (128 + signal), or DEADLINE_EXCEEDED, CANCELLED: it still runs.
  absl::StatusOr<int> Wait(int milliseconds, int interrupts);
  // Ends it with everything that it has started.
  void Kill();

 private:
  ImageProcess(pid_t pid, UniqueFd pidfd, UniqueFd go)
      : pid_(pid), pidfd_(std::move(pidfd)), go_(std::move(go)) {}

  pid_t pid_ = -1;  // -1: has been waited for, or moved from
  UniqueFd pidfd_;
  UniqueFd go_;  // what is to be run goes in here
};

}  // namespace slacker::ctl
