// How much the blob caches may take of the disk.
//
// Two limits: what they take together, and what must be free on their file system, whoever fills it.
// Beyond either, so much is to be evicted that a sixteenth of the limit is gained beside: not every
// chunk that comes then throws another one out. What is added without being asked for (Completer)
// ends where eviction ends. So neither undoes what the other does. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace slacker {

struct CacheUsage {
  uint64_t cache_bytes = 0;  // of all blob caches, without holes
  uint64_t free_bytes = 0;   // of their file system, for everybody but root
  uint64_t disk_bytes = 0;   // its size
};

class CacheSpace {
 public:
  struct Limits {
    uint64_t max_bytes = 0;         // 0 = none
    uint64_t min_free_percent = 0;  // of the file system
  };
  using Measure = std::function<absl::StatusOr<CacheUsage>()>;

  CacheSpace(const Limits& limits, Measure measure)
      : limits_(limits), measure_(std::move(measure)) {}
  // Measures a directory of blob caches; without them: only its disk, which is one system call.
  static absl::StatusOr<CacheUsage> MeasureDirectory(const std::string& path, bool with_caches);

  const Limits& limits() const { return limits_; }
  absl::StatusOr<CacheUsage> Usage() const { return measure_(); }

  struct Pressure {
    uint64_t excess_bytes = 0;  // to be evicted; 0: no limit is crossed
    bool disk_is_full = false;  // too little is free; else there is too much in the caches
  };
  absl::StatusOr<Pressure> Look() const;
  // What may be added unasked. 0 when that is not known.
  uint64_t Room() const;

 private:
  // Where eviction ends. 0: no limit.
  uint64_t KeptBytes() const { return limits_.max_bytes - limits_.max_bytes / 16; }
  uint64_t MinFree(const CacheUsage& usage) const {
    return usage.disk_bytes / 100 * limits_.min_free_percent;
  }

  const Limits limits_;
  const Measure measure_;
};

}  // namespace slacker
