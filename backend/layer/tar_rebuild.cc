#include <algorithm>
#include <optional>
#include <string>

#include "backend/base/status.h"
#include "backend/layer/tar_reader.h"

namespace slacker {
namespace {

const std::string& Zeros() {
  static const std::string zeros(64 * 1024, '\0');
  return zeros;
}

// Thread-compatible.
class Rebuilder {
 public:
  Rebuilder(const Layer& layer, TarPartReader* tar, const ChunkReader& read_chunk,
            const TarSink& sink)
      : layer_(layer), tar_(tar), read_chunk_(read_chunk), sink_(sink) {}

  absl::StatusOr<Digest> Run() {
    while (const std::optional<TarPiece> piece = tar_->NextPiece()) {
      switch (piece->kind) {
        case TarPiece::Kind::kLiteral:
          RETURN_IF_ERROR(PutLiteral(piece->length));
          break;
        case TarPiece::Kind::kZeros:
          RETURN_IF_ERROR(PutZeros(piece->length));
          break;
        case TarPiece::Kind::kFile:
          RETURN_IF_ERROR(PutFile(*piece));
          break;
      }
    }
    RETURN_IF_ERROR(tar_->Finish());
    return hash_.Finish();
  }

 private:
  absl::Status Put(std::string_view bytes) {
    hash_.Update(bytes);
    return sink_(bytes);
  }

  absl::Status PutLiteral(uint64_t length) {
    while (length > 0) {
      ASSIGN_OR_RETURN(const std::string_view bytes, tar_->NextLiteral(length));
      if (bytes.empty()) return DataLoss("the tar part has too few bytes");
      RETURN_IF_ERROR(Put(bytes));
      length -= bytes.size();
    }
    return absl::OkStatus();
  }

  absl::Status PutZeros(uint64_t length) {
    while (length > 0) {
      const uint64_t now = std::min<uint64_t>(length, Zeros().size());
      RETURN_IF_ERROR(Put(std::string_view(Zeros()).substr(0, now)));
      length -= now;
    }
    return absl::OkStatus();
  }

  absl::Status PutFile(const TarPiece& piece) {
    const File& file = layer_.files[piece.file];
    const uint64_t end = piece.offset + piece.length;
    const auto first = layer_.chunks.begin() + file.first_chunk;
    const auto last = first + file.chunk_count;
    auto chunk = std::lower_bound(first, last, piece.offset / layer_.chunk_size,
                                  [](const Chunk& c, uint64_t index) { return c.index < index; });
    for (uint64_t at = piece.offset; at < end;) {
      const uint64_t start =
          chunk == last ? end : std::min(end, uint64_t{chunk->index} * layer_.chunk_size);
      if (at < start) {
        RETURN_IF_ERROR(PutZeros(start - at));
        at = start;
        continue;
      }
      RETURN_IF_ERROR(Load(static_cast<uint32_t>(chunk - layer_.chunks.begin())));
      const uint64_t within = at - start;
      const uint64_t now = std::min(end - at, content_.size() - within);
      RETURN_IF_ERROR(Put(std::string_view(content_).substr(within, now)));
      at += now;
      ++chunk;
    }
    return absl::OkStatus();
  }

  // Runs of a sparse file may need the same chunk several times.
  absl::Status Load(uint32_t chunk) {
    if (chunk == loaded_) return absl::OkStatus();
    ASSIGN_OR_RETURN(content_, read_chunk_(chunk));
    loaded_ = chunk;
    if (content_.size() != layer_.chunks[chunk].size_bytes) {
      return DataLoss("chunk " + std::to_string(chunk) + " has a wrong length");
    }
    return absl::OkStatus();
  }

  const Layer& layer_;
  TarPartReader* const tar_;
  const ChunkReader& read_chunk_;
  const TarSink& sink_;
  Sha256 hash_;
  std::string content_;
  uint32_t loaded_ = kNone;
};

}  // namespace

absl::StatusOr<Digest> RebuildTar(const Layer& layer, TarPartReader& tar,
                                  const ChunkReader& read_chunk, const TarSink& sink) {
  return Rebuilder(layer, &tar, read_chunk, sink).Run();
}

}  // namespace slacker
