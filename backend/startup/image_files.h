// The files of an image as a process in it would find them: the merged tree of its layers, symbolic
// links followed, ".." at the root staying there; content from wherever chunks are.
//
// Limits: 40 links and 4096 steps in one look-up, 16 MiB in one read. Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/erofs/image_tree.h"
#include "backend/record/layer.h"
#include "backend/store/boot_pack.h"

namespace slacker {

class ImageFiles {
 public:
  // The verified content of a chunk of a layer (position in the chain).
  using ChunkSource = std::function<absl::StatusOr<std::string>(uint32_t layer, uint32_t chunk)>;

  struct File {
    std::string path;  // absolute, without links
    uint32_t layer = 0;
    uint32_t file = kNone;  // of the layer; kNone = empty
    uint64_t size_bytes = 0;
    bool executable = false;  // by anybody
  };

  // `layers`: bottom first; they outlive this, and passed ValidateLayer.
  ImageFiles(std::vector<const Layer*> layers, ChunkSource chunks);

  // The regular file that a path leads to; relative ones begin at the root.
  std::optional<File> Find(std::string_view path);

  // Fewer bytes where the file ends. INVALID_ARGUMENT for too many; else the errors of the chunks'
  // source.
  absl::StatusOr<std::string> Read(const File& file, uint64_t offset, uint64_t size);

  // The stored chunks that [offset, offset + size) of a file touches, in order.
  std::vector<ChunkRun> ChunksOf(const File& file, uint64_t offset, uint64_t size) const;
  uint32_t ChunkBytes(uint32_t layer, uint32_t chunk) const {
    return layers_[layer]->chunks[chunk].size_bytes;
  }

 private:
  struct Kept {
    uint32_t layer, chunk;
    std::string bytes;
  };

  std::optional<uint32_t> Child(uint32_t directory, std::string_view name);
  absl::StatusOr<const std::string*> Chunk(uint32_t layer, uint32_t chunk);

  const std::vector<const Layer*> layers_;
  const ChunkSource chunks_;
  erofs::LazyTree tree_;
  std::deque<Kept> kept_;  // the chunks read last: headers are read in small pieces
};

}  // namespace slacker
