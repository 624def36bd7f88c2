// Compresses a layer with zlib, so that it comes out as it once was where zlib made it.
//
// What decides the bytes beside the content: the program (only zlib's own are reproduced; Go's
// compress/gzip, which docker and buildkit use, is another), the level (6, the default, is tried)
// and the header. Of the header, tools that want equal bytes leave time and name out, and differ
// in one byte, the operating system: the digests for its usual values are all computed at once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/export/spool.h"

namespace slacker {

// Thread-compatible.
class GzipWriter {
 public:
  static absl::StatusOr<std::unique_ptr<GzipWriter>> Open();
  ~GzipWriter();
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
  struct Stream;
  static constexpr std::array<uint8_t, 3> kSystems = {255, 3, 0};  // unknown, Unix, FAT

  explicit GzipWriter(Spool content);
  absl::Status Put(std::string_view bytes);
  absl::Status Deflate(std::string_view bytes, int flush);

  std::unique_ptr<Stream> stream_;
  Spool content_;
  std::array<Sha256, kSystems.size()> hashes_;  // one for each header
};

}  // namespace slacker
