// What is on the disk below a directory, to be compared with what was there before.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/support/erofs_sample.h"

namespace slacker::testing {

inline constexpr char kDiskTreeAttribute[] = "user.slacker.test";

// A directory, a file in it with two names and an attribute, and a whiteout.
inline void AddOddEntries(const std::string& directory, const std::string& text) {
  const std::string file = directory + "/directory/file";
  EXPECT_EQ(mkdir((directory + "/directory").c_str(), 0755), 0);
  WriteWholeFile(file, text);
  EXPECT_EQ(link(file.c_str(), (directory + "/link").c_str()), 0);
  EXPECT_EQ(setxattr(file.c_str(), kDiskTreeAttribute, "value", 5, 0), 0);
  EXPECT_EQ(mknod((directory + "/whiteout").c_str(), S_IFCHR, 0), 0);
}

// Each path with what it is and has: mode, device, that attribute; links and content of a file.
using DiskTree = std::map<std::string, std::string>;

// Empty when there is no such directory.
inline DiskTree DiskTreeOf(const std::string& directory) {
  DiskTree tree;
  std::error_code none;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, none)) {
    struct stat info {};
    EXPECT_EQ(lstat(entry.path().c_str(), &info), 0) << entry.path();
    std::string value(64, '\0');
    const ssize_t got =
        lgetxattr(entry.path().c_str(), kDiskTreeAttribute, value.data(), value.size());
    value.resize(got > 0 ? static_cast<size_t>(got) : 0);
    std::string& found = tree[entry.path().lexically_relative(directory)];
    found = std::to_string(info.st_mode) + " " + std::to_string(info.st_rdev) + " " + value;
    if (!S_ISREG(info.st_mode)) continue;
    found += " " + std::to_string(info.st_nlink) + " " + ReadWholeFile(entry.path());
  }
  return tree;
}

}  // namespace slacker::testing
