// From the layers of a chain to one metadata-only EROFS image. Format: Linux, fs/erofs/erofs_fs.h
// and Documentation/filesystems/erofs.rst.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/record/layer.h"

namespace slacker {

struct ErofsImage {
  uint64_t size_bytes = 0;  // a multiple of 4096
  // The layers whose blobs the image refers to, as indexes into the `layers` given, in the order of
  // the EROFS device table (device IDs 1, 2, …): these are the mount's device= options, in this
  // order. Layers of whose content nothing is visible are not among them.
  std::vector<uint32_t> devices;
  uint64_t inodes = 0;
};

// Gets an image from its first byte to its last, in pieces of some MiB.
using ImageSink = std::function<absl::Status(std::string_view bytes)>;

// Merges the layers (bottom first) as overlayfs would (whiteouts, opaque directories, replaced
// types, hard links) and writes the flattened tree: chunk-based regular files on extra devices,
// extended inodes with nanoseconds, no file content inside. Layers with the same diff ID share a
// device. Deterministic. REQUIRES: every layer passed ValidateLayer. Errors: RESOURCE_EXHAUSTED
// when a limit is exceeded: 65,535 devices, 2^32 - 1 blocks in a blob, 65,535 bytes in an xattr,
// an image of 1 GiB (erofs::kMaxImageBytes); or what `sink` answered. Memory: some 100 bytes an
// entry, in tables that spill (backend/base/spill.h); the image itself, which takes 64 bytes an inode,
// 12 and the name an entry, 8 a chunk index, is never there as a whole.
absl::StatusOr<ErofsImage> BuildErofsImage(const std::vector<const Layer*>& layers,
                                           const ImageSink& sink);

// The size that BuildErofsImage would give: the same errors, in less memory.
absl::StatusOr<uint64_t> CheckErofsImage(const std::vector<const Layer*>& layers);

}  // namespace slacker
