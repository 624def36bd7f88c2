// Chunks of one blob that are not what they should be in one place (in the store, or on the node's
// disk): a time of faults begins with the first that is found, and is over when each of them has been
// right since, and no other has been found for kQuiet. Its owner logs one line at the beginning and
// one at the end, however often the same is read or the disk goes on.
//
// Not thread-safe: guarded by what guards its owner's chunks.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace slacker {

class ChunkFaults {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kQuiet{10};

  struct Report {
    uint64_t wrong = 0;   // chunks that have not been right since
    uint64_t chunks = 0;  // that were found, each once
    uint64_t times = 0;   // that any of them was found
    TimePoint since;
    std::string error;  // of the last one
  };

  // True: that begins a time of faults.
  bool Note(uint32_t chunk, std::string error, TimePoint now);
  // It is what it should be. Of a chunk that was not found: nothing.
  void NoteRight(uint32_t chunk) { wrong_.erase(chunk); }

  // Nothing while there are none.
  std::optional<Report> Describe() const;
  // Of a time that is over, once; nothing otherwise.
  std::optional<Report> TakeEnded(TimePoint now);
  // Ends it, since nobody will read these chunks any more.
  std::optional<Report> TakeAny();

 private:
  std::set<uint32_t> wrong_, found_;
  uint64_t times_ = 0;
  TimePoint since_, last_;
  std::string error_;
};

}  // namespace slacker
