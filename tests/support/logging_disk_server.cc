// logging_disk_server IMAGE LOG FILE: the server of tests/support/logging_disk.h, which says what it
// does. FILE is mounted over: a FUSE file system that is nothing but this one file. Prints "ready",
// and ends when the mount goes or its standard input is closed; in the second case the kernel fails
// whatever still uses the disk, so that nobody waits for a test that has died.
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace {

constexpr uint32_t kMaxWrite = 1 << 20;
constexpr uint64_t kForever = 1 << 30;  // seconds

class Server {
 public:
  Server(slacker::UniqueFd device, slacker::UniqueFd log, char* disk, uint64_t size)
      : device_(std::move(device)), log_(std::move(log)), disk_(disk), size_(size) {}

  // Until the end.
  int Serve() {
    std::vector<char> buffer(kMaxWrite + 4096);
    for (;;) {
      std::array<pollfd, 2> waits{{{device_.get(), POLLIN, 0}, {0, 0, 0}}};
      if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return 1;
      if (waits[1].revents != 0) return 1;  // the test is gone
      const ssize_t size = read(device_.get(), buffer.data(), buffer.size());
      if (size < 0 && errno == ENODEV) return 0;  // unmounted
      if (size < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
      if (size < static_cast<ssize_t>(sizeof(fuse_in_header))) return 1;
      fuse_in_header header{};
      std::memcpy(&header, buffer.data(), sizeof header);
      if (!Handle(header, buffer.data() + sizeof header)) return 1;
    }
  }

 private:
  bool Answer(const fuse_in_header& request, int error, const void* body, size_t size) {
    fuse_out_header header{};
    header.len = static_cast<uint32_t>(sizeof header + size);
    header.error = -error;
    header.unique = request.unique;
    std::array<iovec, 2> parts{{{&header, sizeof header}, {const_cast<void*>(body), size}}};
    const ssize_t put = writev(device_.get(), parts.data(), parts.size());
    return put == static_cast<ssize_t>(header.len) || errno == ENOENT;  // it was interrupted
  }
  template <typename Body>
  bool Answer(const fuse_in_header& request, const Body& body) {
    return Answer(request, 0, &body, sizeof body);
  }

  // Appended in one call: who looks at the log's length sees whole entries.
  bool Log(uint64_t offset, uint64_t size, const char* bytes) {
    std::array<uint64_t, 2> head{offset, size};
    std::array<iovec, 2> parts{{{head.data(), sizeof head}, {const_cast<char*>(bytes), size}}};
    return writev(log_.get(), parts.data(), parts.size()) ==
           static_cast<ssize_t>(sizeof head + size);
  }

  bool Handle(const fuse_in_header& header, const char* body) {
    switch (header.opcode) {
      case FUSE_INIT: {
        fuse_init_out out{};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = FUSE_KERNEL_MINOR_VERSION;
        out.flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES;
        out.max_write = kMaxWrite;
        out.max_pages = kMaxWrite / 4096;
        return Answer(header, out);
      }
      case FUSE_GETATTR:
      case FUSE_SETATTR: {
        fuse_attr_out out{};
        out.attr_valid = kForever;
        out.attr.ino = FUSE_ROOT_ID;
        out.attr.size = size_;
        out.attr.blocks = size_ / 512;
        out.attr.mode = S_IFREG | 0600;
        out.attr.nlink = 1;
        out.attr.blksize = 4096;
        return Answer(header, out);
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.open_flags = FOPEN_DIRECT_IO;  // every write comes here, when it is made
        return Answer(header, out);
      }
      case FUSE_READ: {
        fuse_read_in in{};
        std::memcpy(&in, body, sizeof in);
        const uint64_t size =
            in.offset < size_ ? std::min<uint64_t>(in.size, size_ - in.offset) : 0;
        return Answer(header, 0, disk_ + in.offset, size);
      }
      case FUSE_WRITE:
        return Write(header, body);
      case FUSE_FSYNC:
        return Log(0, 0, nullptr) && Answer(header, 0, nullptr, 0);
      case FUSE_STATFS:
        return Answer(header, fuse_statfs_out{});
      case FUSE_FLUSH:
      case FUSE_RELEASE:
      case FUSE_DESTROY:
        return Answer(header, 0, nullptr, 0);
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return true;
      default:  // FALLOCATE among them: what is discarded or zeroed is written then
        return Answer(header, ENOSYS, nullptr, 0);
    }
  }

  bool Write(const fuse_in_header& header, const char* body) {
    fuse_write_in in{};
    std::memcpy(&in, body, sizeof in);
    if (in.offset > size_ || in.size > size_ - in.offset) return Answer(header, EFBIG, nullptr, 0);
    std::memcpy(disk_ + in.offset, body + sizeof in, in.size);
    if (!Log(in.offset, in.size, body + sizeof in)) return false;
    fuse_write_out out{};
    out.size = in.size;
    return Answer(header, out);
  }

  const slacker::UniqueFd device_, log_;
  char* const disk_;
  const uint64_t size_;
};

int Fail(const char* what) {
  std::perror(what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  slacker::UniqueFd image(open(argv[1], O_RDONLY | O_CLOEXEC));
  slacker::UniqueFd log(open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  slacker::UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!image.valid() || fstat(image.get(), &info) != 0) return Fail(argv[1]);
  if (!log.valid()) return Fail(argv[2]);
  if (!device.valid()) return Fail("/dev/fuse");
  const auto size = static_cast<size_t>(info.st_size);
  void* const disk = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, image.get(), 0);
  if (disk == MAP_FAILED) return Fail("mmap");
  const std::string options =
      "fd=" + std::to_string(device.get()) + ",rootmode=100000,user_id=0,group_id=0";
  if (mount("logging_disk", argv[3], "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return Fail("mount");
  }
  std::puts("ready");
  (void)std::fflush(stdout);
  return Server(std::move(device), std::move(log), static_cast<char*>(disk), size).Serve();
}
