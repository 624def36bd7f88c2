// From a tar stream to a layer.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/layer.h"

namespace slacker {

// A stream of uncompressed tar bytes. Thread-compatible.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next bytes, at least one; an empty view at the end. The view is valid until the next call.
  virtual absl::StatusOr<std::string_view> Next() = 0;
};

struct TarLimits {
  uint64_t max_entries = 4'000'000;
  uint64_t max_metadata_bytes = 2ull << 30;  // names, targets, xattrs and headers of one layer
  uint64_t max_file_bytes = 1ull << 44;      // logical size of one file
  uint32_t max_path_bytes = 64 * 1024;
  uint32_t max_xattr_bytes = 64 * 1024;  // one value
};

// Called for every stored chunk, in order. The content is valid during the call.
using ChunkSink = std::function<absl::Status(const Digest& digest, std::string_view content)>;

// Reads a whole layer tar (libarchive) with the meaning that containerd's own apply gives it: names
// are cleaned and scoped to the root, later entries replace earlier ones, ".wh." names become
// whiteouts, SCHILY.xattr records become xattrs. Reads `tar` to its end, beyond the end-of-archive
// blocks: diff_id is the digest of every byte. The tar part gives exactly these bytes back. Memory
// is bounded by the metadata, whatever the contents.
//
// Errors: INVALID_ARGUMENT (not a tar, damaged, truncated, a limit exceeded; the message names the
// entry), or what `tar` and `sink` answered. Thread-safe.
absl::StatusOr<Layer> ReadLayerTar(ByteSource& tar, uint32_t chunk_size, const TarLimits& limits,
                                   const ChunkSink& sink);

// The other way: writes the original tar. `read_chunk` gives a chunk's content by its index in
// layer.chunks. Returns the digest of what was written, which equals layer.diff_id if everything is
// sound.
using ChunkReader = std::function<absl::StatusOr<std::string>(uint32_t chunk)>;
using TarSink = std::function<absl::Status(std::string_view bytes)>;
absl::StatusOr<Digest> RebuildTar(const Layer& layer, const ChunkReader& read_chunk,
                                  const TarSink& sink);

}  // namespace slacker
