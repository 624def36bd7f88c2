// One read of a blob while its parts come together: from the cache file and from chunks that
// arrive. Answers once, when the last part is there or was given up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "backend/base/mutex.h"
#include "snapshotter/fuse/blob_source.h"

namespace slacker {

// Thread-safe: parts do not overlap.
class ReadOperation {
 public:
  // Bytes that no part covers read as zeros. `parts`: how often PartDone will be called.
  ReadOperation(uint64_t offset, uint32_t size, size_t parts, BlobSource::ReadCallback done)
      : offset_(offset), buffer_(size, '\0'), parts_(parts), done_(std::move(done)) {}

  // False: nobody reads, only the chunks are wanted.
  bool has_reader() const { return !buffer_.empty(); }
  uint64_t offset() const { return offset_; }
  uint64_t end() const { return offset_ + buffer_.size(); }
  // Where the byte `blob_offset` of the blob goes. REQUIRES: within [offset, end).
  char* At(uint64_t blob_offset) { return buffer_.data() + (blob_offset - offset_); }

  // Takes what overlaps of `bytes`, which stand at `blob_offset` in the blob.
  void Take(uint64_t blob_offset, std::string_view bytes);

  // `count` parts are done. The last one answers with the bytes, or the first error; the object is
  // not used after that.
  void PartDone(const absl::Status& status, size_t count = 1);

 private:
  const uint64_t offset_;
  std::string buffer_;
  Mutex mutex_;
  size_t parts_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  BlobSource::ReadCallback done_;
};

}  // namespace slacker
