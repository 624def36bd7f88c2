// What is on a node of images: what makes it cold is that it has nothing of them.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

struct Holdings {
  std::set<std::string> images, snapshots;
  std::set<std::string> content;  // of containerd's store: layers and what describes them
  std::set<std::string> cached;   // files in the snapshotter's cache
};

// What `ctr` with these words writes, asked of the node's containerd.
using CtrCommand = std::function<absl::StatusOr<std::string>(std::vector<std::string> words)>;

// `cache` are patterns (glob) of files.
absl::StatusOr<Holdings> LookAtHoldings(const CtrCommand& ctr, const std::string& snapshotter,
                                        const std::vector<std::string>& cache);

// FAILED_PRECONDITION, with the first of them, if there is something now that is not in `allowed`.
absl::Status CheckNothingMore(const Holdings& now, const Holdings& allowed);

// Without those that are empty, and without the first `skipped`.
std::vector<std::string> Lines(const std::string& text, size_t skipped);

}  // namespace slacker::hellobench
