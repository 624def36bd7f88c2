// File trees as values: read from a directory, made from layers by a plain reading of the rules, or
// unpacked into a directory; and compared entry by entry.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/layer_builder.h"

namespace slacker::testing {

struct ModelEntry {
  uint32_t mode = 0;  // st_mode
  uint32_t uid = 0, gid = 0;
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanos = 0;
  uint64_t size = 0;  // regular files and symlinks
  uint32_t rdev_major = 0, rdev_minor = 0;
  uint32_t nlink = 0;
  std::string first_name = {};  // the least path of its inode: equal within a group of hard links
  std::string target = {};      // symlinks
  std::map<std::string, std::string> xattrs = {};
  std::string content = {};  // regular files: digest

  bool operator==(const ModelEntry&) const = default;
};

using Model = std::map<std::string, ModelEntry>;  // by path; "" is the root

// What merging the layers (bottom first) must give; written without regard for speed.
Model ModelOfLayers(const std::vector<const BuiltLayer*>& layers);

// What is in a directory. Fails the test on any error.
Model ReadModel(const std::string& root);

// One line for each difference, at most twenty; empty when there is none.
std::vector<std::string> Differences(const Model& expected, const Model& actual);

}  // namespace slacker::testing
