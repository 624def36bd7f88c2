// A layer in memory: what a layer record says of one OCI layer. Produced from a tar
// (backend/layer), encoded and decoded by backend/record/layer_codec.h, merged with the layers
// below it into an image tree (backend/erofs).
//
// Model. `nodes` are the inodes of the layer, `entries` the names that lead to them; a hard link is
// a second entry of the same node. Entry 0 is the root of the layer ("", parent 0). The tree is the
// effect of the whole tar: names are unique within a directory, parents stand before children, and
// what the tar itself overwrote is gone. A whiteout is an entry without a node; an opaque directory
// hides all that lower layers have in it.
//
// `files` are the regular contents in the order of the tar: contents that the tar later overwrote
// are among them, since the tar is rebuilt from them. A file consists of chunks of `chunk_size`
// bytes (the last one shorter); a chunk that is all zeros is not stored: it is a hole. The stored
// chunks of all files, in file order, make up the layer blob: each begins at the next multiple of
// 4096 after the one before it.
//
// Everything here is a value; thread-compatible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backend/base/digest.h"
#include "backend/base/spill.h"
#include "backend/record/arena.h"
#include "backend/record/paged_bytes.h"
#include "backend/record/xattr_list.h"

namespace slacker {

inline constexpr uint32_t kBlockSize = 4096;
inline constexpr uint32_t kMinChunkSize = 4096;
inline constexpr uint32_t kMaxChunkSize = 256 * 1024;
inline constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

enum class NodeType : uint8_t {
  kDirectory = 1,
  // A directory that the tar does not name but needs for a path below it: it takes its metadata
  // from the lower layers if they have a directory there, else the default of erofs/image_tree.h.
  kImplicitDirectory = 2,
  kRegular = 3,
  kSymlink = 4,
  kCharDevice = 5,
  kBlockDevice = 6,
  kFifo = 7,
  kSocket = 8,
};

struct Node {
  NodeType type = NodeType::kDirectory;
  bool opaque = false;   // directories only
  uint16_t mode = 0755;  // permission bits with setuid, setgid and sticky: mode & 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_seconds = 0;  // since 1970, may be negative
  uint32_t mtime_nanos = 0;
  uint32_t rdev_major = 0;  // devices only
  uint32_t rdev_minor = 0;
  uint32_t file = kNone;    // kRegular: index into files; kNone = an empty file
  std::string_view target;  // symlinks: raw bytes; in Layer::texts
  // Sorted by name, names unique; never trusted.overlay.*. In Layer::texts, unless they are long.
  XattrList xattrs;
};

struct Entry {
  // Index of the parent's entry, less than this entry's own index (0 for the root itself).
  uint32_t parent = 0;
  // Index into nodes; kNone = whiteout: the name is deleted from the lower layers.
  uint32_t node = 0;
  // Raw bytes, 1 to 255, no '/' and no NUL, not "." or ".."; empty for the root only. In
  // Layer::texts.
  std::string_view name;
};

struct File {
  uint64_t size_bytes = 0;
  uint32_t first_chunk = 0;  // its stored chunks are chunks[first_chunk, first_chunk + chunk_count)
  uint32_t chunk_count = 0;  // fewer than size/chunk_size where there are holes
};

struct Chunk {
  Digest digest;             // SHA-256 of the chunk's size_bytes bytes
  uint32_t index = 0;        // position in its file: file offset = index * chunk_size
  uint32_t size_bytes = 0;   // 1 … chunk_size
  uint64_t blob_offset = 0;  // multiple of 4096; derived: AssignBlobOffsets
};

// How the original tar comes back: the tar is the concatenation of the pieces.
struct TarPiece {
  enum class Kind : uint8_t {
    kLiteral = 1,  // `length` bytes of Layer::tar_literals, following those of the literal before
    kFile = 2,     // `length` bytes of the content of files[file], from `offset`
    kZeros = 3,    // `length` zero bytes
  };
  Kind kind = Kind::kLiteral;
  uint32_t file = kNone;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// More of them make a layer invalid.
inline constexpr size_t kMaxTarPieces = size_t{1} << 24;
// Of one node; more make a layer invalid.
inline constexpr size_t kMaxXattrs = 4096;

struct Layer {
  Digest diff_id;
  uint64_t tar_size_bytes = 0;
  uint32_t chunk_size = 64 * 1024;  // power of two, kMinChunkSize … kMaxChunkSize
  uint64_t blob_size_bytes = 0;     // multiple of 4096; derived: AssignBlobOffsets
  TableVector<Node> nodes;
  TableVector<Entry> entries;
  TableVector<File> files;
  TableVector<Chunk> chunks;
  // What names, targets and xattrs point into. Shared by copies of a layer; only grows.
  std::shared_ptr<Arena> texts = std::make_shared<Arena>();

  // The part that nodes need not fetch; empty in a layer that was read without it.
  TableVector<TarPiece> tar_pieces;
  PagedBytes tar_literals;

  // A copy of `text` that lives as long as the layer.
  std::string_view Keep(std::string_view text);
  // Frees nodes, entries and texts: what remains is content.
  void DropTree();
  // What nodes, entries, their texts, files and chunks take, about. Looks at each of them.
  size_t MemoryBytes() const;
};

// The chunks [first, second) that have bytes in [offset, offset + size) of the blob.
std::pair<uint32_t, uint32_t> ChunksIn(const TableVector<Chunk>& chunks, uint64_t offset,
                                       uint64_t size);

// Fills in Chunk::blob_offset and Layer::blob_size_bytes.
void AssignBlobOffsets(Layer* layer);

// Checks every rule stated above (indexes in range, tree shape, unique names, sizes that fit).
// DATA_LOSS with the first violation. Everything decoded from a store goes through this, so that
// users may index without checking.
absl::Status ValidateLayer(const Layer& layer);

// The same for pieces that are not in the layer, one after the other. Thread-compatible.
class TarPieceCheck {
 public:
  // REQUIRES: the layer's files are valid. It outlives this.
  TarPieceCheck(const Layer& layer, uint64_t literal_bytes)
      : layer_(layer), literals_left_(literal_bytes), tar_left_(layer.tar_size_bytes) {}
  absl::Status Add(const TarPiece& piece);
  absl::Status Finish() const;

 private:
  const Layer& layer_;
  uint64_t literals_left_;
  uint64_t tar_left_;
  size_t pieces_ = 0;
};

}  // namespace slacker
