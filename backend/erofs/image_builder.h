// From the layers of a chain to one metadata-only EROFS image. Format: Linux, fs/erofs/erofs_fs.h
// and Documentation/filesystems/erofs.rst.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/record/layer.h"

namespace slacker {

struct ErofsImage {
  std::string metadata;  // the image, a multiple of 4096 bytes
  // The layers whose blobs the image refers to, as indexes into the `layers` given, in the order of
  // the EROFS device table (device IDs 1, 2, …): these are the mount's device= options, in this
  // order. Layers of whose content nothing is visible are not among them.
  std::vector<uint32_t> devices;
  uint64_t inodes = 0;
};

// Merges the layers (bottom first) as overlayfs would (whiteouts, opaque directories, replaced
// types, hard links) and writes the flattened tree: chunk-based regular files on extra devices,
// extended inodes with nanoseconds, no file content inside. Layers with the same diff ID share a
// device. Deterministic. REQUIRES: every layer passed ValidateLayer. Errors: RESOURCE_EXHAUSTED
// when a limit is exceeded: 65,535 devices, 2^32 - 1 blocks in a blob, 65,535 bytes in an xattr,
// an image of 1 GiB (erofs::kMaxImageBytes). Memory: some 100 bytes an entry beside the image
// itself, which takes 64 bytes an inode, 12 and the name an entry, 8 a chunk index.
absl::StatusOr<ErofsImage> BuildErofsImage(const std::vector<const Layer*>& layers);

// Whether BuildErofsImage can: the same errors, in less memory.
absl::Status CheckErofsImage(const std::vector<const Layer*>& layers);

}  // namespace slacker
