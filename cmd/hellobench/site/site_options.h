// How a site is opened.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hellobench/catalogue/task.h"
#include "cmd/hellobench/site/site.h"
#include "cmd/hellobench/site/snapshotters.h"

namespace slacker::hellobench {

struct SiteOptions {
  // Where everything of the site is, absolute; must not exist, not lie below /run or /proc, and be short:
  // unix sockets are made below it. Goes with the site.
  std::string directory;
  std::string layout;  // OCI layout that has the images
  std::string data;    // DataDirectory()
  // Where programs are looked for: containerd, its shim and ctr; snapshotters' and ours. Then in PATH.
  std::string containerd_directory;
  std::vector<std::string> program_directories;
  Snapshotters snapshotters;
  std::map<std::string, Task> tasks;  // by image's name: what a trace of its start runs
  // Ends what is under way as soon as it is true. Null: nothing does.
  const std::atomic<bool>* interrupted = nullptr;
};

// Namespaces and the registry; the store's server and nodes come when they are asked for. Needs root.
// INVALID_ARGUMENT, NOT_FOUND of a program, with its name; errors of the servers, with what they wrote.
absl::StatusOr<std::unique_ptr<Site>> OpenSite(const SiteOptions& options);

}  // namespace slacker::hellobench
