// What the FUSE server serves: layer blobs, by blob ID (the name of the FUSE file). Implemented by
// snapshotter/images; faked in tests.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace slacker {

class BlobSource {
 public:
  using ReadCallback = std::function<void(absl::StatusOr<std::string>)>;

  virtual ~BlobSource() = default;

  // Size in bytes, a multiple of 4096. NOT_FOUND: no such blob.
  virtual absl::StatusOr<uint64_t> BlobSize(uint64_t blob_id) = 0;

  // Reads [offset, offset + size) of a blob, fetching what is missing. `done` gets exactly the
  // bytes asked for (less only at the blob's end), every one verified, or an error; never a short
  // answer. CANCELLED: this source stops, the next one is to be asked. Called exactly once, on this
  // thread or another. Does not block on the store; hundreds of reads may be under way.
  // Thread-safe.
  virtual void ReadAsync(uint64_t blob_id, uint64_t offset, uint32_t size, ReadCallback done) = 0;
};

}  // namespace slacker
