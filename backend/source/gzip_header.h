// What stands before the deflate data of a gzip member (RFC 1952). isa-l's own reader forgets, between
// two calls, which fields a header announced (2.30): ours takes it in pieces of any size.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

// Passes over one header; keeps nothing of it. Thread-compatible.
class GzipHeader {
 public:
  // Takes from `in`; whether the header has come to its end. INVALID_ARGUMENT: not a gzip header, or
  // another method than deflate.
  absl::StatusOr<bool> Take(std::string_view* in);

 private:
  enum class Part { kFixed, kExtraLength, kExtra, kName, kComment, kChecksum, kEnd };

  // Whether this part is announced; the fixed one always is.
  bool Has(Part part) const;
  // Takes one byte; whether the part ends with it.
  absl::StatusOr<bool> TakeByte(unsigned char byte);

  Part part_ = Part::kFixed;
  std::string fixed_;  // its ten bytes
  size_t taken_ = 0;   // of this part
  size_t extra_bytes_ = 0;
};

}  // namespace slacker
