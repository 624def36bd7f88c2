// To be preloaded (LD_PRELOAD): fsync and fdatasync do nothing for files whose path contains the
// value of SLACKER_TEST_WITHOUT_SYNC_OF. With it a test of durability shows that it can fail.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

bool IsLeftOut(int fd) {
  const char* const text = std::getenv("SLACKER_TEST_WITHOUT_SYNC_OF");
  if (text == nullptr) return false;
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(link.c_str(), path.data(), path.size());
  return size > 0 &&
         std::string_view(path.data(), static_cast<size_t>(size)).find(text) != std::string::npos;
}

}  // namespace

extern "C" int fsync(int fd) {
  return IsLeftOut(fd) ? 0 : static_cast<int>(syscall(SYS_fsync, fd));
}

extern "C" int fdatasync(int fd) {
  return IsLeftOut(fd) ? 0 : static_cast<int>(syscall(SYS_fdatasync, fd));
}
