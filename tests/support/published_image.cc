#include "tests/support/published_image.h"

#include <cstring>
#include <random>
#include <utility>

#include "backend/base/check.h"
#include "backend/store/boot_writer.h"
#include "tests/support/encode_layer.h"

namespace slacker::testing {

std::string PublishedImage::BlobContent(size_t layer) const {
  const SampleLayer& sample = layers[layer];
  std::string content(sample.layer.blob_size_bytes, '\0');
  for (size_t i = 0; i < sample.chunks.size(); ++i) {
    std::memcpy(content.data() + sample.layer.chunks[i].blob_offset, sample.chunks[i].data(),
                sample.chunks[i].size());
  }
  return content;
}

PublishedImage Publish(const std::shared_ptr<Backend>& backend, std::vector<SampleLayer> layers,
                       const std::string& repository) {
  PublishedImage image;
  image.layers = std::move(layers);
  auto writer = StoreWriter::Open(backend, {});
  SLACKER_CHECK(writer.ok(), writer.status().ToString().c_str());
  std::vector<Digest> diff_ids;
  for (const SampleLayer& sample : image.layers) {
    for (size_t i = 0; i < sample.chunks.size(); ++i) {
      const absl::Status added =
          (*writer)->AddChunk(sample.layer.chunks[i].digest, sample.chunks[i]);
      SLACKER_CHECK(added.ok(), added.ToString().c_str());
    }
    const auto tables = EncodeTables(sample.layer);
    SLACKER_CHECK(tables.ok(), tables.status().ToString().c_str());
    const auto record = (*writer)->AddLayer(*tables);
    SLACKER_CHECK(record.ok(), record.status().ToString().c_str());
    image.manifest.push_back({sample.layer.diff_id, *record});
    diff_ids.push_back(sample.layer.diff_id);
    image.chains.push_back(ChainId(diff_ids));
  }
  const Platform platform{"linux", "amd64", ""};
  ImageEntry entry;
  entry.name = "docker://example.org/app:v1";
  entry.platform = platform;
  entry.chain_id = image.chain();
  entry.manifest_digest = Sha256::Of(image.chain().ToString()).ToString();
  entry.config_json = "{}";
  const absl::Status committed =
      (*writer)->CommitManifests(image.manifest, platform, entry, repository);
  SLACKER_CHECK(committed.ok(), committed.ToString().c_str());
  return image;
}

PublishedImage Publish(const std::shared_ptr<Backend>& backend,
                       const std::vector<uint32_t>& seeds) {
  std::vector<SampleLayer> layers;
  for (const uint32_t seed : seeds) layers.push_back(MakeSampleLayer(seed));
  return Publish(backend, std::move(layers));
}

std::vector<ChunkRun> AllChunks(const PublishedImage& image) {
  std::vector<ChunkRun> chunks;
  for (const SampleLayer& layer : image.layers) {
    if (layer.chunks.empty()) continue;
    const auto position = static_cast<uint32_t>(&layer - image.layers.data());
    chunks.push_back({position, 0, static_cast<uint32_t>(layer.chunks.size())});
  }
  return chunks;
}

namespace {

void WritePack(const std::shared_ptr<Backend>& backend, const PublishedImage& image,
               const BootPlan& plan, const SigningKey* key) {
  std::vector<ChainLayer> layers;
  for (size_t i = 0; i < image.layers.size(); ++i) {
    layers.push_back({image.manifest[i].record, &image.layers[i].layer});
  }
  const StoreReader reader(backend);
  ChainReader chain(&reader, std::move(layers));
  const absl::Status written = WriteBootPack(*backend, image.chain(), chain, plan, key);
  SLACKER_CHECK(written.ok(), written.ToString().c_str());
}

std::string RandomBytes(size_t size, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::string content(size, '\0');
  for (size_t i = 0; i + 8 <= content.size(); i += 8) {
    const uint64_t value = random();
    std::memcpy(content.data() + i, &value, sizeof value);
  }
  return content;
}

}  // namespace

void WriteBootPackOf(const std::shared_ptr<Backend>& backend, const PublishedImage& image,
                     std::vector<ChunkRun> trace) {
  WritePack(backend, image, {BootOrigin::kTrace, Sha256::Of("a test"), std::move(trace), {}},
            nullptr);
}

void WritePagePackOf(const std::shared_ptr<Backend>& backend, const PublishedImage& image,
                     std::vector<ChunkRun> pages, const SigningKey* key) {
  WritePack(backend, image, {BootOrigin::kTrace, Sha256::Of("a test"), {}, std::move(pages)}, key);
}

SampleLayer MakeBigLayer(uint32_t chunks, uint32_t seed) {
  SampleLayer sample = MakeSampleLayer(seed);
  sample.layer.diff_id = Sha256::Of("big " + std::to_string(seed));
  AddSampleFile(&sample, 0, "big",
                RandomBytes(size_t{chunks} * sample.layer.chunk_size + 1234, seed));
  return sample;
}

SampleLayer MakeLayerOfBigChunks(uint32_t chunks, uint32_t seed) {
  SampleLayer sample;
  sample.layer.diff_id = Sha256::Of("of big chunks " + std::to_string(seed));
  sample.layer.chunk_size = 64 << 10;
  Node root;
  root.type = NodeType::kDirectory;
  sample.layer.nodes.push_back(root);
  sample.layer.entries.push_back({0, 0, sample.layer.Keep("")});
  AddSampleFile(&sample, 0, "big", RandomBytes(size_t{chunks} * sample.layer.chunk_size, seed));
  return sample;
}

}  // namespace slacker::testing
