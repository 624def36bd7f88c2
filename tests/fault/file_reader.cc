// Reads the files of a tree for ever, to be killed in the middle: by read(2) and through mappings.
//
//   file_reader TREE FILES SEED     TREE/f0 to TREE/f<FILES - 1>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>

#include "backend/base/unique_fd.h"

namespace {

constexpr size_t kPage = 4096;

void ReadPages(int file, size_t size) {
  char page[kPage];
  for (size_t at = 0; at < size; at += kPage) {
    (void)!pread(file, page, sizeof page, static_cast<off_t>(at));  // others look at what it gave
  }
}

void TouchPages(int file, size_t size) {
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (mapped == MAP_FAILED) return;
  volatile char sum = 0;
  for (size_t at = 0; at < size; at += kPage) sum = static_cast<char*>(mapped)[at];
  (void)sum;
  (void)munmap(mapped, size);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::minstd_rand random(static_cast<unsigned>(std::atoi(argv[3])));
  const auto files = static_cast<unsigned>(std::atoi(argv[2]));
  for (;;) {
    const std::string path = std::string(argv[1]) + "/f" + std::to_string(random() % files);
    const slacker::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!file.valid() || fstat(file.get(), &status) != 0 || status.st_size == 0) return 1;
    if (random() % 2 == 0) {
      ReadPages(file.get(), static_cast<size_t>(status.st_size));
    } else {
      TouchPages(file.get(), static_cast<size_t>(status.st_size));
    }
  }
}
