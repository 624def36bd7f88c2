// Images of built layers, and what is read of them.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/startup/image_files.h"
#include "tests/support/layer_builder.h"

namespace slacker::testing {

class StartupImage {
 public:
  // Bottom first.
  explicit StartupImage(std::vector<LayerBuilder> layers) {
    for (LayerBuilder& layer : layers) {
      built_.push_back(layer.Build("layer " + std::to_string(built_.size())));
    }
    std::vector<const Layer*> pointers;
    for (const BuiltLayer& layer : built_) pointers.push_back(&layer.layer);
    files_ = std::make_unique<ImageFiles>(
        pointers, [this](uint32_t layer, uint32_t chunk) { return Chunk(layer, chunk); });
  }

  ImageFiles& files() { return *files_; }
  // Further reads fail with this.
  void FailReads(absl::Status status) { failure_ = std::move(status); }

  // The paths among `paths` all of whose chunks are in `runs`.
  std::vector<std::string> CoveredBy(const std::vector<ChunkRun>& runs,
                                     const std::vector<std::string>& paths) const {
    std::set<std::pair<uint32_t, uint32_t>> chunks;
    for (const ChunkRun& run : runs) {
      for (uint32_t i = 0; i < run.count; ++i) chunks.emplace(run.layer, run.first + i);
    }
    std::vector<std::string> covered;
    for (const std::string& path : paths) {
      const auto file = files_->Find(path);
      bool all = file.has_value();
      if (all) {
        for (const ChunkRun& run : files_->ChunksOf(*file, 0, file->size_bytes)) {
          for (uint32_t i = 0; i < run.count; ++i) {
            all = all && chunks.contains({run.layer, run.first + i});
          }
        }
      }
      if (all) covered.push_back(path);
    }
    return covered;
  }

 private:
  absl::StatusOr<std::string> Chunk(uint32_t layer, uint32_t chunk) const {
    if (!failure_.ok()) return failure_;
    const slacker::Chunk& wanted = built_[layer].layer.chunks[chunk];
    // What a chunk ends in may be zeros, which the builder leaves out.
    std::string bytes(wanted.size_bytes, '\0');
    const auto found = built_[layer].blob.find(wanted.blob_offset);
    if (found != built_[layer].blob.end()) bytes.replace(0, found->second.size(), found->second);
    return bytes;
  }

  std::vector<BuiltLayer> built_;
  std::unique_ptr<ImageFiles> files_;
  absl::Status failure_;
};

}  // namespace slacker::testing
