#include "snapshotter/care/cache_space.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

// What must be free once eviction is through.
uint64_t WantedFree(uint64_t min_free) { return min_free + min_free / 16; }

uint64_t Beyond(uint64_t value, uint64_t limit) { return value > limit ? value - limit : 0; }

}  // namespace

absl::StatusOr<CacheUsage> CacheSpace::MeasureDirectory(const std::string& path, bool with_caches) {
  struct statvfs disk {};
  if (statvfs(path.c_str(), &disk) != 0) return ErrnoError(errno, "statvfs " + path);
  CacheUsage usage;
  usage.free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  usage.disk_bytes = uint64_t{disk.f_blocks} * disk.f_frsize;
  if (!with_caches) return usage;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(path));
  for (const std::string& name : names) {
    usage.cache_bytes += static_cast<uint64_t>(AllocatedBytes(path + "/" + name));
  }
  return usage;
}

absl::StatusOr<CacheSpace::Pressure> CacheSpace::Look() const {
  ASSIGN_OR_RETURN(const CacheUsage usage, measure_());
  const uint64_t min_free = MinFree(usage);
  Pressure pressure;
  if (limits_.max_bytes > 0 && usage.cache_bytes > limits_.max_bytes) {
    pressure.excess_bytes = usage.cache_bytes - KeptBytes();
  }
  if (usage.free_bytes < min_free) {
    const uint64_t lacking = WantedFree(min_free) - usage.free_bytes;
    pressure.disk_is_full = lacking > pressure.excess_bytes;
    pressure.excess_bytes = std::max(pressure.excess_bytes, lacking);
  }
  return pressure;
}

uint64_t CacheSpace::Room() const {
  const auto usage = measure_();
  if (!usage.ok()) return 0;
  uint64_t room = Beyond(usage->free_bytes, WantedFree(MinFree(*usage)));
  if (limits_.max_bytes > 0) room = std::min(room, Beyond(KeptBytes(), usage->cache_bytes));
  return room;
}

}  // namespace slacker
