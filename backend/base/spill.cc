#include "backend/base/spill.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <string>

#include "backend/base/check.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

// Pages of tables between two trims: 4 MiB of rows, which touch some times as much around them.
constexpr uint64_t kPagesPerTrim = 64;

struct SpilledBlocks {
  Mutex mutex;
  std::map<void*, size_t> sizes ABSL_GUARDED_BY(mutex);  // those that lie in files
};

SpilledBlocks& Blocks() {
  static SpilledBlocks* const blocks =
      new SpilledBlocks();  // never destroyed: tables may be static
  return *blocks;
}

std::atomic<bool> any_spilled = false;
std::atomic<uint64_t> pages = 0;

// A file without a name that has room for so many bytes. Invalid: there is none to be had.
UniqueFd MakeFile(size_t bytes) {
  const char* const directory = std::getenv("TMPDIR");
  std::string path = directory != nullptr && *directory != '\0' ? directory : "/var/tmp";
  path += "/slacker-XXXXXX";
  UniqueFd file(mkostemp(path.data(), O_CLOEXEC));
  if (!file.valid()) return {};
  (void)unlink(path.c_str());
  // Not the C library's, which writes zeros where the file system cannot.
  if (fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) != 0) return {};
  return file;
}

}  // namespace

void* AllocateSpilled(size_t bytes) {
  if (const UniqueFd file = MakeFile(bytes); file.valid()) {
    void* const block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (block != MAP_FAILED) {
      SpilledBlocks& blocks = Blocks();
      MutexLock lock(&blocks.mutex);
      blocks.sizes.emplace(block, bytes);
      any_spilled = true;
      return block;
    }
  }
  void* const block =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SLACKER_CHECK(block != MAP_FAILED, "out of memory");
  return block;
}

void FreeSpilled(void* block, size_t bytes) {
  SpilledBlocks& blocks = Blocks();
  MutexLock lock(&blocks.mutex);  // a trim must not meet what has this address next
  blocks.sizes.erase(block);
  (void)munmap(block, bytes);
}

void TrimSpilled() {
  if (!any_spilled || ++pages % kPagesPerTrim != 0) return;
  SpilledBlocks& blocks = Blocks();
  MutexLock lock(&blocks.mutex);
  for (const auto& [block, bytes] : blocks.sizes) (void)madvise(block, bytes, MADV_DONTNEED);
}

}  // namespace slacker
