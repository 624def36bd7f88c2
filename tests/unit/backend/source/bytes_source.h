// A stream of given bytes, in pieces of a given size, with an error at its end if wanted.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "backend/layer/tar_reader.h"

namespace slacker::testing {

class BytesSource final : public ByteSource {
 public:
  explicit BytesSource(std::string bytes, size_t piece = 1000, absl::Status end = {})
      : bytes_(std::move(bytes)), piece_(piece), end_(std::move(end)) {}

  absl::StatusOr<std::string_view> Next() override {
    const size_t size = std::min(piece_, bytes_.size() - offset_);
    if (size == 0 && !end_.ok()) return end_;
    offset_ += size;
    return std::string_view(bytes_).substr(offset_ - size, size);
  }

 private:
  const std::string bytes_;
  const size_t piece_;
  const absl::Status end_;
  size_t offset_ = 0;
};

}  // namespace slacker::testing
