// Compresses a layer with zlib at its usual level: anew, where nothing tells what the original blob was
// like; also then it may come out as it once was. Of the header, tools that want equal bytes leave time
// and name out, and differ in one byte, the operating system: the digests for its usual values are all
// computed at once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/export/compressor.h"
#include "backend/export/spool.h"

namespace slacker {

// Thread-compatible.
class GzipWriter {
 public:
  static absl::StatusOr<std::unique_ptr<GzipWriter>> Open();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  absl::Status Append(std::string_view bytes);

  struct Result {
    Spool content;
    Digest digest;
    bool as_wanted = false;  // it has the digest that was wanted
  };
  // Ends the stream, with the header that makes its digest `wanted` if there is one.
  absl::StatusOr<Result> Finish(const std::optional<Digest>& wanted) &&;

 private:
  static constexpr std::array<uint8_t, 3> kSystems = {255, 3, 0};  // unknown, Unix, FAT

  explicit GzipWriter(Spool content);
  absl::Status Put(std::string_view bytes);

  const std::unique_ptr<Compressor> deflate_;
  const Compressor::Sink sink_ = [this](std::string_view bytes) { return Put(bytes); };
  Spool content_;
  std::array<Sha256, kSystems.size()> hashes_;  // one for each header
};

}  // namespace slacker
