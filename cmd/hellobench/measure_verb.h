// `hellobench measure`: images on snapshotters, on nodes that it makes for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/hellobench/catalogue/catalogue.h"

namespace slacker::hellobench {

struct MeasureArguments {
  std::string scenario = "start";
  std::string layout;
  std::string results = "results.jsonl";
  std::string work = "/var/tmp";
  std::vector<std::string> snapshotters = {"overlayfs", "slacker"};
  std::vector<std::string> stores = {"nfs"};
  std::vector<std::string> snapshotter_files;  // beside the installed one
  std::string containerd;                      // directory; "": PATH
  std::vector<std::string> programs;           // directories that come before PATH
  std::vector<std::string> links = {"loopback"};
  int64_t nodes = 1;
  int64_t at_once = 1;
  int64_t repetitions = 3;
  uint64_t seed = 0;  // 0: any
  std::string server_cache = "dropped";
  int64_t long_running_seconds = 0;
};

// Measures the images that the layout has, of those that were chosen; `named` ones it must have. `command`
// is how hellobench was called. Prints results as they come. Errors: of arguments, of the site, of the
// results file; FAILED_PRECONDITION when all went well but for runs that failed; CANCELLED.
absl::Status MeasureImages(const MeasureArguments& arguments, const std::vector<Image>& images,
                           bool named, const std::vector<std::string>& command,
                           const std::atomic<bool>* interrupted);

}  // namespace slacker::hellobench
