// Gives a published image back, as an image of the OCI image spec with the original's diff IDs.
//
// Each layer's tar is rebuilt from its record, tar part and chunks, and is refused (DATA_LOSS)
// unless its digest is the signed manifest's diff ID. The configuration is the original's, byte for
// byte. The compressed form of a layer is not in the store: it is made anew (see recompressor.h), or
// left away where the original was a plain tar, and is the original's where it comes out with the digest
// that the original manifest names. If all do, the manifest is the original's too.
//
// The names and documents in an image entry are not signed: nothing of them is believed that does
// not fit the manifest and the bytes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/export/image_sink.h"
#include "backend/store/store.h"

namespace slacker {

struct ExportedLayer {
  Digest diff_id;
  Descriptor blob;
  bool original = false;  // the bytes that the image was published from
};

struct ExportedImage {
  Digest chain_id;
  Descriptor manifest;
  bool original_manifest = false;
  std::vector<ExportedLayer> layers;  // bottom first
};

struct ExportProgress {
  size_t layers = 0, layers_done = 0;
  uint64_t tar_bytes = 0, tar_bytes_done = 0;  // of the layer in hand
};
using ExportObserver = std::function<void(const ExportProgress&)>;

// `entry` is an entry of this chain: it has the configuration. Errors: those of the reader and of
// the sink; DATA_LOSS also for a configuration of another chain. Called once for each image;
// `observer` may be null.
absl::StatusOr<ExportedImage> ExportImage(const StoreReader& reader, const ImageEntry& entry,
                                          ImageSink& sink, const ExportObserver& observer);

}  // namespace slacker
