// File systems on a disk whose power is cut (tests/support/logging_disk.h), and at which moments.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/erofs_sample.h"

namespace slacker::testing {

// A file system as a machine's disk may have it. Small journals, so that they go round.
struct FileSystem {
  std::string name;
  uint64_t bytes;
  std::string mkfs;  // the file follows
};

inline std::vector<FileSystem> FileSystems() {
  return {
      {"ext4", 96 << 20,
       "mkfs.ext4 -q -b 4096 -m 0 -J size=4 -E lazy_itable_init=0,lazy_journal_init=0"},
      // It refuses disks of less than 300 MB, except in its own tests.
      {"xfs", 96 << 20,
       "TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1 mkfs.xfs -q -f -b size=4096 -s size=4096 -l size=8m"},
      {"btrfs", 128 << 20, "mkfs.btrfs -q -s 4096 -m single -d single"}};
}

// An empty one in a new file.
inline void MakeFileSystem(const FileSystem& file_system, const std::string& file) {
  WriteWholeFile(file, "");
  std::filesystem::resize_file(file, file_system.bytes);
  ASSERT_EQ(std::system((file_system.mkfs + " " + file + " > /dev/null").c_str()), 0);
}

// Every n-th, such that there are about `count`, beginning at random.
inline std::vector<uint64_t> Sample(const std::vector<uint64_t>& all, size_t count,
                                    uint64_t random) {
  std::vector<uint64_t> sample;
  const size_t step = std::max<size_t>(all.size() / count, 1);
  for (size_t i = random % step; i < all.size(); i += step) sample.push_back(all[i]);
  return sample;
}

}  // namespace slacker::testing
