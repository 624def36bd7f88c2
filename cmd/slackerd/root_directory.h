// The directory that slackerd is about to own. What is in it that slackerd does not know it removes,
// so a wrong path would cost somebody their files: looked at before anything is made in it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace slacker {

// Makes `root` (0700, parents 0755) if it is not there. It may be empty, hold a database of ours, or
// what a first start that was cut short leaves: the names that it makes, empty; and the lost+found
// of a file system of its own. FAILED_PRECONDITION, with everything left as it was, for
//
//   - "/";
//   - a directory that holds anything else and no slacker.db;
//   - a store of `store_urls` that is a directory (loopback:) and is the root, or lies within it, or
//     the other way round. Whatever is below the root is slackerd's to remove, and whatever is below
//     a store is, to `slackerctl fsck --repair`, damage to be moved aside.
//
// Asks no store: one that hangs must not keep a node from its containers.
absl::Status PrepareRoot(const std::string& root, const std::vector<std::string>& store_urls);

}  // namespace slacker
