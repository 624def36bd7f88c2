// From a tar stream to a layer.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/layer.h"
#include "backend/record/layer_codec.h"
#include "backend/record/layer_encoder.h"

namespace slacker {

// A stream of uncompressed tar bytes. Thread-compatible.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next bytes, at least one; an empty view at the end. The view is valid until the next call.
  virtual absl::StatusOr<std::string_view> Next() = 0;
};

struct TarLimits {
  uint64_t max_entries = 4'000'000;          // implicit directories count
  uint64_t max_metadata_bytes = 2ull << 30;  // names, targets, xattrs and headers of one layer
  uint64_t max_file_bytes = 1ull << 44;      // logical size of one file
  uint64_t max_lookups = 1'000'000'000;      // of names, while paths are resolved
  uint32_t max_path_bytes = 64 * 1024;
  uint32_t max_xattr_bytes = 64 * 1024;  // one value
};

// Called for every stored chunk, in order. The content is valid during the call.
using ChunkSink = std::function<absl::Status(const Digest& digest, std::string_view content)>;

// Reads a whole layer tar (libarchive, with the raw headers read beside it) with the meaning that
// containerd's own apply gives it on overlayfs: names are cleaned and scoped to the root, later
// entries replace earlier ones, ".wh." names become whiteouts, SCHILY.xattr records become xattrs;
// layer_tree.h has the rules. What containerd refuses is refused. So is what libarchive and
// containerd's reader frame differently (a regular file whose name ends in a slash, an extended
// header without an entry, a tar that ends within the padding of its last file): an image must not
// mean two things.
//
// Reads `tar` to its end, beyond the end-of-archive blocks: diff_id is the digest of every byte. An
// empty stream, and one that ends between entries, is a tar. The tar part gives exactly these bytes
// back. The layer depends on the bytes alone, not on how `tar` cuts them; its root is an implicit
// directory, since containerd passes over an entry for the root. Memory is bounded by the metadata
// (some 150 bytes for a small file: names, nodes and chunk digests; raw headers are kept
// compressed), whatever the contents.
//
// Errors: INVALID_ARGUMENT (`chunk_size` out of range, not a tar, damaged, truncated, a limit
// exceeded; the message names the entry), or what `tar` and `sink` answered. Thread-safe.
absl::StatusOr<LayerTables> ReadLayerTar(ByteSource& tar, uint32_t chunk_size,
                                         const TarLimits& limits, const ChunkSink& sink);

// The other way: writes the original tar. `tar` is the layer's tar part, not read from yet;
// `read_chunk` gives a chunk's content by its index in layer.chunks, in the order of the tar. Returns
// the digest of what was written, which equals layer.diff_id if everything is sound. REQUIRES:
// ValidateLayer(layer) is OK. Memory: a chunk and a page.
//
// Errors: DATA_LOSS (the tar part is damaged, or a chunk has another length than the layer says), or
// what `tar`, `read_chunk` and `sink` answered. Thread-safe.
using ChunkReader = std::function<absl::StatusOr<std::string>(uint32_t chunk)>;
using TarSink = std::function<absl::Status(std::string_view bytes)>;
absl::StatusOr<Digest> RebuildTar(const Layer& layer, TarPartReader& tar,
                                  const ChunkReader& read_chunk, const TarSink& sink);

}  // namespace slacker
