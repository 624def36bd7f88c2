// Reads a file at random, past what is cached of it, and compares.
//
//   random_reader FILE REFERENCE FROM SEED READS|UNTIL
//
// FROM: in percent of its length, where it begins. Ends with 0 when READS reads were right, or with a rest behind each until the file
// UNTIL (a path) is there; with 1 at the first one that fails or differs.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "backend/base/unique_fd.h"
#include "tests/support/erofs_sample.h"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const std::string reference = slacker::testing::ReadWholeFile(argv[2]);
  const size_t from = reference.size() * static_cast<size_t>(std::atoi(argv[3])) / 100;
  std::minstd_rand random(static_cast<unsigned>(std::atoi(argv[4])));
  const slacker::UniqueFd file(open(argv[1], O_RDONLY | O_CLOEXEC));
  if (!file.valid() || reference.empty()) return 2;
  const std::string until = argv[5][0] == '/' ? argv[5] : "";
  for (int reads = until.empty() ? std::atoi(argv[5]) : 1; reads > 0;
       reads -= until.empty() ? 1 : 0) {
    if (!until.empty()) {
      if (access(until.c_str(), F_OK) == 0) return 0;
      (void)usleep(200'000);  // many of them leave processors to those whom they read from
    }
    const size_t offset = from + random() % (reference.size() - from);
    std::string bytes(std::min<size_t>(random() % 300'000 + 1, reference.size() - offset), '\0');
    (void)posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t got = pread(file.get(), bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(offset + done));
      if (got <= 0) {
        std::perror("random_reader");
        return 1;
      }
      done += static_cast<size_t>(got);
    }
    if (reference.compare(offset, bytes.size(), bytes) != 0) {
      std::fprintf(stderr, "random_reader: wrong bytes in %zu + %zu\n", offset, bytes.size());
      return 1;
    }
  }
  return 0;
}
