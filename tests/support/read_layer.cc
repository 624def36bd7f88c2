#include "tests/support/read_layer.h"

#include <sstream>

#include "backend/base/status.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {

absl::StatusOr<ReadLayer> Read(std::string_view tar, uint32_t chunk_size, const TarLimits& limits,
                               size_t step) {
  ReadLayer read;
  StringSource source(tar, step);
  ASSIGN_OR_RETURN(read.layer, ReadLayerTar(source, chunk_size, limits,
                                            [&](const Digest& digest, std::string_view content) {
                                              read.chunks[digest] = content;
                                              return absl::OkStatus();
                                            }));
  return read;
}

absl::StatusOr<Digest> Rebuild(const ReadLayer& read, std::string* tar) {
  return RebuildTar(
      read.layer,
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
    for (const Xattr& x : n.xattrs) out << ' ' << x.first << '=' << x.second;
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
