// Images in a store, for tests of what reads from it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/store/boot_pack.h"
#include "backend/store/store.h"
#include "tests/support/sample_layer.h"

namespace slacker::testing {

struct PublishedImage {
  std::vector<SampleLayer> layers;      // bottom first
  std::vector<ManifestLayer> manifest;  // parallel
  std::vector<Digest> chains;           // of every prefix; the last is the image's own

  const Digest& chain() const { return chains.back(); }
  // What the blob of a layer reads as, from its first to its last byte.
  std::string BlobContent(size_t layer) const;
};

// Publishes sample layers with these seeds. Ends the process when the store refuses.
PublishedImage Publish(const std::shared_ptr<Backend>& backend, const std::vector<uint32_t>& seeds);

// Publishes these layers, for the readers of `repository`, or for anybody.
PublishedImage Publish(const std::shared_ptr<Backend>& backend, std::vector<SampleLayer> layers,
                       const std::string& repository = "");

// Writes the boot pack of an image: the chunks of `trace`, in this order.
void WriteBootPackOf(const std::shared_ptr<Backend>& backend, const PublishedImage& image,
                     std::vector<ChunkRun> trace);
// The same of pages instead of chunks, signed with `key` unless it is null.
void WritePagePackOf(const std::shared_ptr<Backend>& backend, const PublishedImage& image,
                     std::vector<ChunkRun> pages, const SigningKey* key = nullptr);
// Every chunk of an image, from the bottom up.
std::vector<ChunkRun> AllChunks(const PublishedImage& image);

// A layer with one file of `chunks` chunks of different random content, and a short one.
SampleLayer MakeBigLayer(uint32_t chunks, uint32_t seed = 1);
// A layer with one file of `chunks` chunks of 64 KiB: 16 pages each.
SampleLayer MakeLayerOfBigChunks(uint32_t chunks, uint32_t seed);

}  // namespace slacker::testing
