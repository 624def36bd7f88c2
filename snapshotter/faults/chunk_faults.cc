#include "snapshotter/faults/chunk_faults.h"

#include <utility>

namespace slacker {

bool ChunkFaults::Note(uint32_t chunk, std::string error, TimePoint now) {
  const bool begins = found_.empty();
  if (begins) since_ = now;
  wrong_.insert(chunk);
  found_.insert(chunk);
  ++times_;
  last_ = now;
  error_ = std::move(error);
  return begins;
}

std::optional<ChunkFaults::Report> ChunkFaults::Describe() const {
  if (found_.empty()) return std::nullopt;
  return Report{wrong_.size(), found_.size(), times_, since_, error_};
}

std::optional<ChunkFaults::Report> ChunkFaults::TakeEnded(TimePoint now) {
  if (!wrong_.empty() || now < last_ + kQuiet) return std::nullopt;
  return TakeAny();
}

std::optional<ChunkFaults::Report> ChunkFaults::TakeAny() {
  std::optional<Report> report = Describe();
  *this = {};
  return report;
}

}  // namespace slacker
