// Publishing: an image of a source goes into a store.
//
// Model. A layer that the store has already, below whatever chain, is taken as it is and not even
// downloaded (docs/adr/0018). Every other layer runs through three stages at once, each on threads of its own:
// download and decompression; tar parsing and hashing; compression and writing of the chunks. A
// layer's record is written only when the digest of its tar is the diff ID that the image's
// configuration states; manifests, which make the image visible, are written last of all, after it
// has been proved that nodes can merge the layers.
//
// Before them a boot pack is written, with a guess of what a start reads (boot_publisher.h).
//
// A publication that fails or dies leaves nothing visible; what it has stored already is found by
// the next one. Memory: some 90 MB, whatever window zstd needs; while a layer is read, 110 bytes for each of its files, and 60
// for each chunk of all layers; for the guess, 210 bytes for each file of all layers. Less than 300 MB
// with a million small files (docs/benchmarks/publish.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "backend/layer/tar_reader.h"
#include "backend/source/image_source.h"
#include "backend/source/platform.h"
#include "backend/store/store.h"

namespace slacker {

struct PublishOptions {
  Platform platform = HostPlatform();
  uint32_t chunk_size = Layer().chunk_size;
  StoreWriter::Options store;
  TarLimits tar;
  // Of a layer, packed as well as unpacked: RESOURCE_EXHAUSTED beyond.
  uint64_t max_layer_tar_bytes = 1ull << 40;
  // Of the tables of all layers, which the guess has in memory: a larger image is published without
  // a boot pack, until a node has traced a start of it.
  uint64_t max_guess_table_bytes = uint64_t{208} << 20;
  // Whom the image is granted to instead of whom its source says: a repository. Empty = the source.
  std::string private_repository = {};
  // To everybody, whatever the source says. Not together with the one above.
  bool for_everybody = false;
  // What the image's entry is called. Empty = as the source.
  std::string name = {};
};

struct PublishProgress {
  size_t layers = 0;
  size_t layers_done = 0;       // reused ones included
  size_t layers_reused = 0;     // the store had them, or they came before in the image
  uint64_t download_bytes = 0;  // compressed size of the layers that are not reused
  uint64_t downloaded_bytes = 0;
  uint64_t stored_bytes = 0;
};

struct PublishedImage {
  ImageEntry entry;        // as it was written to the store
  std::string repository;  // whose readers alone may have it; "" = everybody
  PublishProgress totals;
};

// Called often, on the thread that called Publish; must be quick.
using PublishObserver = std::function<void(const PublishProgress&)>;

// Errors: those of the source and the store; DATA_LOSS when a layer is not what the configuration
// says; INVALID_ARGUMENT for tars and documents that are malformed. After an error
// the source has been cancelled. Thread-safe.
absl::StatusOr<PublishedImage> Publish(ImageSource& source, const std::shared_ptr<Backend>& backend,
                                       const PublishOptions& options,
                                       const PublishObserver& observer);

}  // namespace slacker
