// Layers for tests of whatever consumes layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/record/layer.h"

namespace slacker::testing {

// A small layer with one of everything: every node type, a hard link, a whiteout, an opaque
// directory, xattrs, a sparse file, a file that the tar replaced. Its tar is made up, but its
// pieces give a tar of the right length.
struct SampleLayer {
  Layer layer;
  std::vector<std::string> chunks;  // contents, parallel to layer.chunks
};
// `seed` varies the contents of the files.
SampleLayer MakeSampleLayer(uint32_t seed = 1);

// A layer of `directories` directories with `files` one-chunk files each.
Layer MakeWideLayer(uint32_t directories, uint32_t files);

// A file's node below `parent` (an entry); `content` is cut into chunks, zeros are holes.
void AddSampleFile(SampleLayer* sample, uint32_t parent, const std::string& name,
                   const std::string& content);

}  // namespace slacker::testing
