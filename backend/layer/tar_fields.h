// The fields of a tar header block and of extended headers: strings and numbers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace slacker {

// Up to the first NUL.
std::string_view TarString(std::string_view field);

// Decodes numbers; the first malformed one makes ok() false for good. Thread-compatible.
class TarNumbers {
 public:
  bool ok() const { return ok_; }
  // Octal digits between spaces and NULs; nothing at all is 0.
  int64_t Octal(std::string_view field);
  // Base 256 if the first bit is set (two's complement, big-endian), else octal.
  int64_t Numeric(std::string_view field);
  // Decimal with an optional sign.
  int64_t Decimal(std::string_view text);
  // Decimal seconds with an optional fraction, cut to nanoseconds; times outside of 1970 … 2^63 ns
  // are 0.
  void Time(std::string_view text, int64_t* seconds, uint32_t* nanos);

 private:
  int64_t Fail() {
    ok_ = false;
    return 0;
  }
  bool ok_ = true;
};

// 0 for times that containerd sets to 0: before 1970, and where nanoseconds need more than 63 bits.
void BoundTarTime(int64_t* seconds, uint32_t* nanos);

// The records of one extended header: key to value, the last one of a key counts. The views point
// into what was parsed. Pairs of GNU sparse 0.0 are checked for their order only.
struct PaxRecords {
  std::map<std::string_view, std::string_view> records;
  bool has_sparse_pairs = false;

  // The value, empty when there is none.
  std::string_view Get(std::string_view key) const;
};

// INVALID_ARGUMENT unless `content` is a sequence of well-formed records.
absl::Status ParsePaxRecords(std::string_view content, PaxRecords* out);

}  // namespace slacker
