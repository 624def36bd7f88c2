// A directory of files, and the same tree as an EROFS metadata image with one blob (made by
// mkfs.erofs): what attaching is tested with.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "backend/base/unique_fd.h"

namespace slacker::testing {

// "unreadable" when it cannot be read to its end.
inline std::string ReadWholeFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[65536];
  ssize_t size = -1;
  while (fd.valid() && (size = read(fd.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(size));
  }
  return size == 0 ? text : "unreadable";
}

inline void WriteWholeFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

struct ErofsSample {
  std::string source;    // the plain directory
  std::string metadata;  // image
  std::string blob;      // padded to 4096

  // `files` files "f0", "f1", … of `file_bytes` random bytes each, below `directory`.
  ErofsSample(const std::string& directory, int files, size_t file_bytes)
      : source(directory + "/source"),
        metadata(directory + "/meta.erofs"),
        blob(directory + "/blob") {
    std::filesystem::create_directories(source);
    std::mt19937_64 random(7);
    for (int i = 0; i < files; ++i) {
      std::string content(file_bytes, '\0');
      for (char& byte : content) byte = static_cast<char>(random());
      WriteWholeFile(source + "/f" + std::to_string(i), content);
    }
    const std::string command = "mkfs.erofs --quiet --blobdev=" + blob + " --chunksize=4096 " +
                                metadata + " " + source + " > /dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0);
    const uintmax_t size = std::filesystem::file_size(blob);
    std::filesystem::resize_file(blob, (size + 4095) / 4096 * 4096);
  }
  uint64_t blob_bytes() const { return std::filesystem::file_size(blob); }
  std::string Content(int file) const {
    return ReadWholeFile(source + "/f" + std::to_string(file));
  }
};

}  // namespace slacker::testing
