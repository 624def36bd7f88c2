#include "tests/support/read_layer.h"

#include <memory>
#include <sstream>
#include <utility>

#include "backend/base/status.h"
#include "backend/record/layer_codec.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {

absl::StatusOr<ReadLayer> Read(std::string_view tar, uint32_t chunk_size, const TarLimits& limits,
                               size_t step) {
  ReadLayer read;
  StringSource source(tar, step);
  ASSIGN_OR_RETURN(
      const LayerTables tables,
      ReadLayerTar(source, chunk_size, limits, [&](const Digest& digest, std::string_view content) {
        read.chunks[digest] = content;
        return absl::OkStatus();
      }));
  ASSIGN_OR_RETURN(const EncodedLayer encoded, EncodeLayer(tables));
  const std::string record = encoded.record.ToString();
  ASSIGN_OR_RETURN(DecodedRecord decoded,
                   DecodeRecord(std::make_unique<MemoryBytes>(record), encoded.record.digest));
  read.layer = std::move(decoded.layer);
  read.layer.tar_literals = tables.tar_literals;
  read.tar = encoded.tar.ToString();
  read.tar_part = decoded.tar_part;
  ASSIGN_OR_RETURN(TarPartReader part, OpenTar(read));
  while (const auto piece = part.NextPiece()) read.layer.tar_pieces.push_back(*piece);
  return read;
}

absl::StatusOr<TarPartReader> OpenTar(const ReadLayer& read) {
  return TarPartReader::Open(std::make_unique<MemoryBytes>(read.tar), read.tar_part, read.layer);
}

absl::StatusOr<Digest> Rebuild(const ReadLayer& read, std::string* tar) {
  ASSIGN_OR_RETURN(TarPartReader part, OpenTar(read));
  return RebuildTar(
      read.layer, part,
      [&](uint32_t chunk) -> absl::StatusOr<std::string> {
        return read.chunks.at(read.layer.chunks[chunk].digest);
      },
      [&](std::string_view bytes) {
        tar->append(bytes);
        return absl::OkStatus();
      });
}

std::string Describe(const Layer& layer) {
  std::ostringstream out;
  out << layer.diff_id.ToHex() << ' ' << layer.tar_size_bytes << ' ' << layer.chunk_size << ' '
      << layer.blob_size_bytes << '\n';
  for (const Node& n : layer.nodes) {
    out << "node " << static_cast<int>(n.type) << ' ' << n.opaque << ' ' << n.mode << ' ' << n.uid
        << ' ' << n.gid << ' ' << n.mtime_seconds << ' ' << n.mtime_nanos << ' ' << n.rdev_major
        << ' ' << n.rdev_minor << ' ' << n.file << ' ' << n.target;
    for (const auto& [name, value] : n.xattrs) out << ' ' << name << '=' << value;
    out << '\n';
  }
  for (const Entry& e : layer.entries) {
    out << "entry " << e.parent << ' ' << e.node << ' ' << e.name << '\n';
  }
  for (const File& f : layer.files) {
    out << "file " << f.size_bytes << ' ' << f.first_chunk << ' ' << f.chunk_count << '\n';
  }
  for (const Chunk& c : layer.chunks) {
    out << "chunk " << c.digest.ToHex() << ' ' << c.index << ' ' << c.size_bytes << ' '
        << c.blob_offset << '\n';
  }
  for (const TarPiece& p : layer.tar_pieces) {
    out << "piece " << static_cast<int>(p.kind) << ' ' << p.file << ' ' << p.offset << ' '
        << p.length << '\n';
  }
  out << layer.tar_literals.ToString();
  return out.str();
}

}  // namespace slacker::testing
