#include "snapshotter/fill/read_operation.h"

#include <algorithm>
#include <cstring>

namespace slacker {

void ReadOperation::Take(uint64_t blob_offset, std::string_view bytes) {
  const uint64_t from = std::max(blob_offset, offset_);
  const uint64_t to = std::min(blob_offset + bytes.size(), end());
  if (from < to) std::memcpy(At(from), bytes.data() + (from - blob_offset), to - from);
}

void ReadOperation::PartDone(const absl::Status& status, size_t count) {
  absl::Status outcome;
  {
    MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
    parts_ -= count;
    if (parts_ > 0) return;
    outcome = status_;
  }
  if (outcome.ok()) {
    done_(std::move(buffer_));
  } else {
    done_(outcome);
  }
}

}  // namespace slacker
