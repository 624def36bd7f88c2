// Looks, again and again and without haste, whether the disk still has what it was given: every
// chunk in a blob cache of an image that has snapshots is read past the page cache and compared
// with the record. A chunk that is not right any more is dropped: whoever reads it through us gets
// it from the store from then on, and the Completer takes a blob whose devices are on its cache file
// back to FUSE, fetches the chunk and writes it in place.
//
// A round begins at a blob by chance, so that restarts do not keep the scrubber from getting
// anywhere; the next one begins `pause` after its end.
//
// ScrubNow does the same for one blob at once, and has what it found fetched again.
//
// Threads: one, `slk-scrub`, at the lowest priority; it works only while no container's read wants
// the store. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "snapshotter/care/idle_watch.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/metastore/db.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

struct ScrubStats {
  uint64_t rounds = 0;  // ended
  uint64_t chunks = 0, bytes = 0;
  uint64_t damaged = 0;  // dropped
};

// What was found in one cache.
struct ScrubbedBlob {
  uint64_t chunks = 0, bytes = 0;  // read back
  uint64_t damaged = 0;            // not right any more
  uint64_t repaired = 0;  // of these, those that came from the store and were written again
  // Why the others were not, or why the cache could not be looked at. CANCELLED: by the caller.
  absl::Status status;
};

class Scrubber {
 public:
  struct Options {
    // Both outlive the scrubber.
    Db* db = nullptr;
    BlobFiller* filler = nullptr;
    // Grows while the disk or the store is wanted for something else (IdleWatch).
    std::function<uint64_t()> activity;
    std::chrono::nanoseconds idle = std::chrono::seconds(10);
    std::function<bool()> busy;  // others use the processors (IdleWatch); null: never
    std::chrono::nanoseconds pause = std::chrono::hours(24);
    uint64_t bytes_per_second = 8ULL << 20;
  };

  // Starts the thread.
  explicit Scrubber(Options options);
  ~Scrubber();

  // Looks at everything that is cached of the blob now, on the caller's thread, and repairs it; the
  // idle thread goes on meanwhile. `cancelled` is asked between chunks, and while the store is waited
  // for.
  ScrubbedBlob ScrubNow(const BlobRow& row, const std::function<bool()>& cancelled);

  ScrubStats Stats() const { return {rounds_, chunks_, bytes_, damaged_}; }

 private:
  void Work();
  absl::StatusOr<std::vector<BlobRow>> Blobs();
  // False: stopped.
  bool Scrub(const BlobRow& row);
  // Reads the chunk back; one that is not right is dropped. False then.
  bool Check(const std::shared_ptr<LayerBlob>& blob, uint32_t chunk);

  const Options options_;
  IdleWatch idle_;
  std::atomic<uint64_t> rounds_ = 0, chunks_ = 0, bytes_ = 0, damaged_ = 0;
  std::thread thread_;  // last: uses the above
};

}  // namespace slacker
