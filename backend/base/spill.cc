#include "backend/base/spill.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>

#include "backend/base/check.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

// Pages of tables between two looks at how much is mapped. Rows anywhere in large tables are 16 pages of
// memory each, which the kernel maps around every fault: it is not their number that counts.
constexpr uint64_t kPagesPerLook = 1;
constexpr size_t kMaxMappedBytes = size_t{32} << 20;  // of files, the program's own among them

// Far below the mappings that a process may have (vm.max_map_count, 65,530): tables larger than small
// must find some.
constexpr size_t kMaxSmallFiles = 16384;

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
std::atomic<size_t> max_counted_bytes = std::numeric_limits<size_t>::max();
std::atomic<size_t> counted_bytes = 0;  // of blocks that are in ordinary memory, though not small
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

// Null: there is no file to be had.
void* MapFile(size_t bytes) {
  const UniqueFd file = MakeFile(bytes);
  if (!file.valid()) return nullptr;
  void* const block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (block == MAP_FAILED) return nullptr;
  SpilledBlocks& blocks = Blocks();
  MutexLock lock(&blocks.mutex);
  blocks.sizes.emplace(block, bytes);
  any_spilled = true;
  return block;
}

bool HasManyFiles() {
  SpilledBlocks& blocks = Blocks();
  MutexLock lock(&blocks.mutex);
  return blocks.sizes.size() >= kMaxSmallFiles;
}

// Bytes of files that are mapped and in memory: proc(5), statm, "shared". The greatest number where that
// cannot be read.
size_t MappedBytes() {
  static const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  static const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::array<char, 128> text{};
  const ssize_t got = pread(statm, text.data(), text.size() - 1, 0);
  size_t pages_shared = 0;
  if (got <= 0 || std::sscanf(text.data(), "%*u %*u %zu", &pages_shared) != 1) {
    return std::numeric_limits<size_t>::max();
  }
  return pages_shared * page_bytes;
}

// Whether it was one that lies in a file.
bool Forget(void* block) {
  SpilledBlocks& blocks = Blocks();
  MutexLock lock(&blocks.mutex);
  return blocks.sizes.erase(block) != 0;
}

}  // namespace

void SpillManySmallTables() { max_counted_bytes = kMaxCountedBytes; }

void* AllocateTable(size_t bytes) {
  const bool small = bytes < kMinSpilledBytes;
  if (small && ((counted_bytes += bytes) <= max_counted_bytes || HasManyFiles())) {
    return ::operator new(bytes);
  }
  if (void* const mapped = MapFile(bytes); mapped != nullptr) {
    if (small) counted_bytes -= bytes;
    return mapped;
  }
  if (small) return ::operator new(bytes);
  void* const block =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SLACKER_CHECK(block != MAP_FAILED, "out of memory");
  return block;
}

void FreeTable(void* block, size_t bytes) {
  // Before it is unmapped: a trim must not meet what has this address next.
  const bool mapped = Forget(block) || bytes >= kMinSpilledBytes;
  if (mapped) {
    (void)munmap(block, bytes);
  } else {
    counted_bytes -= bytes;
    ::operator delete(block);
  }
}

void TrimSpilled() {
  if (!any_spilled || ++pages % kPagesPerLook != 0 || MappedBytes() < kMaxMappedBytes) return;
  SpilledBlocks& blocks = Blocks();
  MutexLock lock(&blocks.mutex);
  for (const auto& [block, bytes] : blocks.sizes) (void)madvise(block, bytes, MADV_DONTNEED);
}

}  // namespace slacker
