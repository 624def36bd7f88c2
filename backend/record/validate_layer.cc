#include <bit>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "backend/base/spill.h"
#include "backend/base/status.h"
#include "backend/record/layer.h"
#include "backend/record/layer_rows.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 44;
constexpr size_t kMaxXattrValueBytes = 64 * 1024;
constexpr std::string_view kOverlayXattrs = "trusted.overlay.";

absl::Status Bad(const char* table, size_t index, std::string_view what) {
  return DataLoss(std::string("layer: ") + table + "[" + std::to_string(index) +
                  "]: " + std::string(what));
}

bool IsDirectory(const Node& node) {
  return node.type == NodeType::kDirectory || node.type == NodeType::kImplicitDirectory;
}

bool IsDevice(const Node& node) {
  return node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice;
}

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

absl::Status CheckXattrs(const Node& node, size_t index) {
  std::string_view previous;
  for (const auto& [name, value] : node.xattrs) {
    TrimSpilledAt({name, value});
    if (name.empty() || name.size() > kMaxEntryNameBytes || HasNul(name)) {
      return Bad("nodes", index, "bad xattr name");
    }
    if (previous >= name) return Bad("nodes", index, "xattrs not sorted");
    if (std::string_view(name).substr(0, kOverlayXattrs.size()) == kOverlayXattrs) {
      return Bad("nodes", index, "private xattr of overlayfs");
    }
    if (value.size() > kMaxXattrValueBytes) return Bad("nodes", index, "xattr value too long");
    previous = name;
  }
  return absl::OkStatus();
}

absl::Status CheckNode(const Layer& layer, size_t index) {
  const Node& node = layer.nodes[index];
  if (node.type < NodeType::kDirectory || node.type > NodeType::kSocket) {
    return Bad("nodes", index, "unknown type");
  }
  if (node.opaque && !IsDirectory(node)) return Bad("nodes", index, "opaque but no directory");
  if (node.mode > 07777) return Bad("nodes", index, "mode out of range");
  if (node.mtime_nanos >= 1'000'000'000) return Bad("nodes", index, "nanoseconds out of range");
  if (!IsDevice(node) && (node.rdev_major != 0 || node.rdev_minor != 0)) {
    return Bad("nodes", index, "device number but no device");
  }
  if (node.file != kNone) {
    if (node.type != NodeType::kRegular) return Bad("nodes", index, "content but no regular file");
    if (node.file >= layer.files.size()) return Bad("nodes", index, "file out of range");
  }
  if (node.type == NodeType::kSymlink) {
    if (node.target.empty() || node.target.size() > kMaxLinkTargetBytes || HasNul(node.target)) {
      return Bad("nodes", index, "bad symlink target");
    }
  } else if (!node.target.empty()) {
    return Bad("nodes", index, "target but no symlink");
  }
  return CheckXattrs(node, index);
}

// Names of a directory as a hash set of entry indexes: Abseil's hash is seeded, so hostile names
// cannot make it quadratic.
struct NameHash {
  const Layer* layer;
  size_t operator()(uint32_t i) const {
    const Entry& entry = layer->entries[i];
    return absl::HashOf(entry.parent, absl::string_view(entry.name.data(), entry.name.size()));
  }
};
struct NameEqual {
  const Layer* layer;
  bool operator()(uint32_t a, uint32_t b) const {
    const Entry& first = layer->entries[a];
    const Entry& second = layer->entries[b];
    return first.parent == second.parent && first.name == second.name;
  }
};

absl::Status CheckRoot(const Layer& layer) {
  if (layer.entries.empty()) return DataLoss("layer: no root entry");
  if (layer.entries.size() >= kNone || layer.nodes.size() >= kNone) {
    return DataLoss("layer: too many entries");
  }
  const Entry& root = layer.entries[0];
  if (!root.name.empty() || root.parent != 0) return Bad("entries", 0, "not a root");
  if (root.node >= layer.nodes.size() || !IsDirectory(layer.nodes[root.node])) {
    return Bad("entries", 0, "the root is no directory");
  }
  return absl::OkStatus();
}

absl::Status CheckEntry(const Layer& layer, size_t index) {
  const Entry& entry = layer.entries[index];
  const std::string_view name = entry.name;
  if (name.empty() || name.size() > kMaxEntryNameBytes || name == "." || name == ".." ||
      HasNul(name) || name.find('/') != std::string_view::npos) {
    return Bad("entries", index, "bad name");
  }
  if (entry.parent >= index) return Bad("entries", index, "parent does not stand before it");
  const uint32_t parent_node = layer.entries[entry.parent].node;
  if (parent_node == kNone || !IsDirectory(layer.nodes[parent_node])) {
    return Bad("entries", index, "parent is no directory");
  }
  if (entry.node != kNone && entry.node >= layer.nodes.size()) {
    return Bad("entries", index, "node out of range");
  }
  return absl::OkStatus();
}

absl::Status CheckEntries(const Layer& layer) {
  RETURN_IF_ERROR(CheckRoot(layer));
  std::vector<bool> named(layer.nodes.size());
  named[layer.entries[0].node] = true;
  absl::flat_hash_set<uint32_t, NameHash, NameEqual, SpillAllocator<uint32_t>> names(
      layer.entries.size(), NameHash{&layer}, NameEqual{&layer});
  for (size_t i = 1; i < layer.entries.size(); ++i) {
    TrimSpilledAt(i);
    RETURN_IF_ERROR(CheckEntry(layer, i));
    if (!names.insert(static_cast<uint32_t>(i)).second) return Bad("entries", i, "name twice");
    const uint32_t node = layer.entries[i].node;
    if (node == kNone) continue;
    if (named[node] && IsDirectory(layer.nodes[node])) {
      return Bad("entries", i, "a second name of a directory");
    }
    named[node] = true;
  }
  for (size_t i = 0; i < named.size(); ++i) {
    if (!named[i]) return Bad("nodes", i, "no entry leads to it");
  }
  return absl::OkStatus();
}

absl::Status CheckFileChunks(const Layer& layer, const File& file) {
  uint64_t next_index = 0;
  for (uint32_t i = file.first_chunk; i < file.first_chunk + file.chunk_count; ++i) {
    const Chunk& chunk = layer.chunks[i];
    const uint64_t offset = uint64_t{chunk.index} * layer.chunk_size;
    if (chunk.index < next_index) return Bad("chunks", i, "not in order");
    if (offset >= file.size_bytes) return Bad("chunks", i, "beyond the end of its file");
    if (chunk.size_bytes != std::min<uint64_t>(layer.chunk_size, file.size_bytes - offset)) {
      return Bad("chunks", i, "wrong size");
    }
    next_index = uint64_t{chunk.index} + 1;
  }
  return absl::OkStatus();
}

absl::Status CheckFiles(const Layer& layer) {
  if (layer.files.size() >= kNone || layer.chunks.size() >= kNone) {
    return DataLoss("layer: too many files or chunks");
  }
  uint64_t next_chunk = 0;
  for (size_t i = 0; i < layer.files.size(); ++i) {
    TrimSpilledAt(i);
    const File& file = layer.files[i];
    if (file.size_bytes > kMaxFileBytes) return Bad("files", i, "too large");
    if (file.first_chunk != next_chunk) return Bad("files", i, "chunks out of order");
    next_chunk += file.chunk_count;
    if (next_chunk > layer.chunks.size()) return Bad("files", i, "chunks out of range");
    RETURN_IF_ERROR(CheckFileChunks(layer, file));
  }
  if (next_chunk != layer.chunks.size()) return DataLoss("layer: chunks that belong to no file");
  return absl::OkStatus();
}

absl::Status CheckBlob(const Layer& layer) {
  uint64_t offset = 0;
  for (size_t i = 0; i < layer.chunks.size(); ++i) {
    TrimSpilledAt(i);
    if (layer.chunks[i].blob_offset != offset) return Bad("chunks", i, "wrong blob offset");
    offset += (uint64_t{layer.chunks[i].size_bytes} + kBlockSize - 1) / kBlockSize * kBlockSize;
  }
  if (layer.blob_size_bytes != offset) return DataLoss("layer: wrong blob size");
  return absl::OkStatus();
}

}  // namespace

absl::Status TarPieceCheck::Add(const TarPiece& piece) {
  const size_t i = pieces_++;
  if (piece.length > tar_left_) return Bad("tar_pieces", i, "beyond the end of the tar");
  tar_left_ -= piece.length;
  switch (piece.kind) {
    case TarPiece::Kind::kLiteral:
      if (piece.length > literals_left_) return Bad("tar_pieces", i, "literal out of range");
      literals_left_ -= piece.length;
      break;
    case TarPiece::Kind::kFile:
      if (piece.file >= layer_.files.size()) return Bad("tar_pieces", i, "file out of range");
      if (piece.offset > layer_.files[piece.file].size_bytes ||
          piece.length > layer_.files[piece.file].size_bytes - piece.offset) {
        return Bad("tar_pieces", i, "beyond the end of its file");
      }
      break;
    case TarPiece::Kind::kZeros:
      break;
    default:
      return Bad("tar_pieces", i, "unknown kind");
  }
  return absl::OkStatus();
}

absl::Status TarPieceCheck::Finish() const {
  if (literals_left_ != 0) return DataLoss("layer: literals that belong to no piece");
  if (tar_left_ != 0) return DataLoss("layer: the pieces do not make up the tar");
  return absl::OkStatus();
}

absl::Status ValidateLayer(const Layer& layer) {
  if (!std::has_single_bit(layer.chunk_size) || layer.chunk_size < kMinChunkSize ||
      layer.chunk_size > kMaxChunkSize) {
    return DataLoss("layer: bad chunk size " + std::to_string(layer.chunk_size));
  }
  RETURN_IF_ERROR(CheckFiles(layer));
  RETURN_IF_ERROR(CheckBlob(layer));
  for (size_t i = 0; i < layer.nodes.size(); ++i) {
    TrimSpilledAt(i);
    RETURN_IF_ERROR(CheckNode(layer, i));
  }
  RETURN_IF_ERROR(CheckEntries(layer));
  if (layer.tar_pieces.empty() && layer.tar_literals.empty()) return absl::OkStatus();
  TarPieceCheck check(layer, layer.tar_literals.size());
  for (const TarPiece& piece : layer.tar_pieces) RETURN_IF_ERROR(check.Add(piece));
  return check.Finish();
}

}  // namespace slacker
