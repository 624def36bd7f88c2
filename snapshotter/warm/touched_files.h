// Which parts of which files the pages of layer blobs are: traces and boot packs say what a start
// reads in terms of blobs, what can be read in advance is files of the image's tree.
//
// Limits: kMaxFiles are looked up, and paths have kMaxPathBytes at most; what is beyond is left out. Memory:
// 4 bytes for each file and 12 for each entry of the layers. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/os/page_cache.h"
#include "backend/record/layer.h"
#include "backend/startup/image_files.h"
#include "backend/store/boot_pack.h"

namespace slacker {

class TouchedFiles {
 public:
  static constexpr size_t kMaxFiles = 8192;
  static constexpr size_t kMaxPathBytes = 1024;

  // `layers`: bottom first; they outlive this, and passed ValidateLayer.
  explicit TouchedFiles(std::vector<const Layer*> layers);

  // Runs of pages (kBootPageBytes) as parts of files, in their order. Left out is what a layer does not
  // have, and what is of no file that the tree shows under the first of its names.
  std::vector<FileRange> Find(std::span<const ChunkRun> pages);

 private:
  using LayerFile = std::pair<uint32_t, uint32_t>;

  void Add(const ChunkRun& run, std::vector<FileRange>* found);
  // Of the file that a chunk is of; "" = the tree does not show it.
  const std::string& PathOf(uint32_t layer, uint32_t chunk);
  std::string FindPath(uint32_t layer, uint32_t file);

  const std::vector<const Layer*> layers_;
  ImageFiles tree_;
  std::vector<std::vector<uint32_t>>
      entries_;  // of each layer, by file; empty until it is asked for
  std::map<LayerFile, std::string> paths_;
};

}  // namespace slacker
