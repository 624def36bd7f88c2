// Compresses a layer so that its original blob comes out, where a compressor that is at hand made that.
//
// The original blob is not in the store, but its digest and its beginning are. Of what may have made it
// (candidates.h) each compresses the beginning of the tar; what comes out otherwise than the blob begins
// is given up, mostly all but one, and all of them where another program made it (Go's compress/gzip:
// docker, buildkit). The rest compress the whole tar side by side, each no further than the original is
// long; the digest at the end decides. Where nothing is left, or the beginning is not known,
// gzip_writer.h makes a blob anew.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/export/candidates.h"
#include "backend/export/gzip_writer.h"
#include "backend/export/spool.h"

namespace slacker {

// What the store knows of a blob. Nothing of it need be true.
struct OriginalBlob {
  Digest digest;
  uint64_t size_bytes = 0;
  std::string head;  // its first bytes; empty: not known
};

// Thread-compatible. Memory: a MiB, and that of kMostAttempts compressors (compressor.h); as much room for
// temporary files as so many blobs.
class Recompressor {
 public:
  static constexpr size_t kMostAttempts = 3;

  Recompressor(std::optional<OriginalBlob> original, uint64_t tar_bytes);
  ~Recompressor();
  Recompressor(const Recompressor&) = delete;
  Recompressor& operator=(const Recompressor&) = delete;

  // The tar, in pieces of any size. Errors: those of temporary files.
  absl::Status Append(std::string_view bytes);

  struct Result {
    Spool content;
    Digest digest;
    bool original = false;  // these are the original's bytes
  };
  // std::nullopt: what began like the original is not it, and nothing else was made. A recompressor
  // without `head` does that.
  absl::StatusOr<std::optional<Result>> Finish() &&;

 private:
  class Attempt;

  // Which candidates compress these first bytes to what the blob begins with.
  void Sift(std::string_view beginning);
  bool BeginsRight(const Candidate& candidate, std::string_view beginning) const;
  absl::Status StartAttempts();
  absl::Status StartAnew();
  absl::StatusOr<std::optional<Result>> TryWhole();

  const std::optional<OriginalBlob> original_;
  std::vector<Candidate> candidates_;
  std::string beginning_;  // of the tar, while it is not decided what goes on
  bool sifting_ = false;
  std::vector<std::unique_ptr<Attempt>> attempts_;
  std::unique_ptr<GzipWriter> anew_;
};

}  // namespace slacker
