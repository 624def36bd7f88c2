// One way of reading a directory tree, timed: what the script "hot" calls for two trees in turn.
//
//   tree_reads TREE random|sequential|spawn [COUNT]
//
// random: COUNT reads of 4 KiB at places drawn with a fixed seed, in the largest regular files (256 of
// them at most; the same ones for equal trees); sequential: every regular file from its begin to its
// end, 128 KiB at a time, in the order of names; spawn: COUNT times fork, chroot into TREE, execve of
// its /bin/true, wait. Prints nanoseconds and bytes.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostFiles = 256;

struct File {
  std::string path;
  uint64_t size;
};

std::vector<File> FilesOf(const std::string& tree) {
  std::vector<File> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(tree)) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    files.push_back({entry.path().string(), entry.file_size()});
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

UniqueFd Open(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  SLACKER_CHECK(file.valid(), path.c_str());
  return file;
}

uint64_t ReadAtRandom(const std::string& tree, uint64_t count, auto start) {
  std::vector<File> files = FilesOf(tree);
  std::stable_sort(files.begin(), files.end(),
                   [](const File& a, const File& b) { return a.size > b.size; });
  if (files.size() > kMostFiles) files.resize(kMostFiles);
  std::vector<std::pair<UniqueFd, uint64_t>> open_files;
  for (const File& file : files) {
    if (file.size >= kPage) open_files.emplace_back(Open(file.path), file.size / kPage);
  }
  SLACKER_CHECK(!open_files.empty(), "there is something to read");
  std::mt19937_64 random(7);
  std::vector<std::pair<int, off_t>> places;
  for (uint64_t i = 0; i < count; ++i) {
    const auto& [file, pages] = open_files[random() % open_files.size()];
    places.emplace_back(file.get(), static_cast<off_t>(random() % pages * kPage));
  }
  char page[kPage];
  start();
  for (const auto& [file, offset] : places) {
    SLACKER_CHECK(pread(file, page, kPage, offset) == static_cast<ssize_t>(kPage), "a page");
  }
  return count * kPage;
}

uint64_t ReadInOrder(const std::string& tree, auto start) {
  const std::vector<File> files = FilesOf(tree);
  std::string buffer(128 << 10, '\0');
  uint64_t bytes = 0;
  start();
  for (const File& file : files) {
    const UniqueFd fd = Open(file.path);
    for (ssize_t got; (got = read(fd.get(), buffer.data(), buffer.size())) > 0;) {
      bytes += static_cast<uint64_t>(got);
    }
  }
  return bytes;
}

void Spawn(const std::string& tree, uint64_t count, auto start) {
  start();
  for (uint64_t i = 0; i < count; ++i) {
    const pid_t child = vfork();
    if (child == 0) {
      if (chroot(tree.c_str()) == 0) execl("/bin/true", "true", nullptr);
      _exit(1);
    }
    int status = 0;
    SLACKER_CHECK(waitpid(child, &status, 0) == child && status == 0, "/bin/true ran");
  }
}

int Run(const std::string& tree, std::string_view way, uint64_t count) {
  auto began = std::chrono::steady_clock::now();
  const auto start = [&] { began = std::chrono::steady_clock::now(); };
  uint64_t bytes = 0;
  if (way == "random") {
    bytes = ReadAtRandom(tree, count, start);
  } else if (way == "sequential") {
    bytes = ReadInOrder(tree, start);
  } else if (way == "spawn") {
    Spawn(tree, count, start);
  } else {
    std::fprintf(stderr, "unknown way of reading\n");
    return 2;
  }
  const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - began;
  std::printf("%lld %llu\n", static_cast<long long>(took.count()),
              static_cast<unsigned long long>(bytes));
  return 0;
}

}  // namespace
}  // namespace slacker

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: tree_reads TREE random|sequential|spawn [COUNT]\n");
    return 2;
  }
  return slacker::Run(argv[1], argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1000);
}
