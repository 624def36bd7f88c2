// Files of a tree in the kernel's page cache before anybody reads them.
//
// Blocks where the tree's file system does, which on our own FUSE means on ourselves: only the attach
// helper (snapshotter/attach) calls it for such trees.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"

namespace slacker {

// A part of a file of some tree.
struct FileRange {
  std::string path;     // from the root of the tree, without links
  uint64_t offset = 0;  // bytes
  uint64_t size_bytes = 0;

  bool operator==(const FileRange&) const = default;
};

// Has the kernel begin to read parts of regular files below `directory`, in this order
// (readahead(2)); does not wait for the bytes, which the memory cgroup of the caller is charged for.
// Only a hint: what cannot be opened is left out, and so is what would lead through a link or out of
// the tree. Errors of opening the directory.
absl::Status ReadInAdvance(const std::string& directory, std::span<const FileRange> ranges);

}  // namespace slacker
