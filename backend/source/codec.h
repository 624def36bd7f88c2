// The compressed formats that decompress.h unpacks, a step at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

// One compressed format. Thread-compatible.
class Codec {
 public:
  virtual ~Codec() = default;
  // Takes from `in` and fills `out`; how much of `out` was filled. INVALID_ARGUMENT: damaged, or of a kind
  // that is not unpacked.
  virtual absl::StatusOr<size_t> Step(std::string_view* in, char* out, size_t out_size) = 0;
  // Whether the input may end here.
  virtual bool AtBoundary() const = 0;
};

std::unique_ptr<Codec> OpenGzipCodec();
// A window of 16 MiB or more is as a large table is (spill.h): in a file, and little of it in memory.
std::unique_ptr<Codec> OpenZstdCodec();

// Of a frame: as much as containerd takes. (klauspost/compress, whose default this is.)
inline constexpr int kMaxZstdWindowLog = 29;

}  // namespace slacker
