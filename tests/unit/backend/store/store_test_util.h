// Publishing sample layers, for the tests of the store.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/store/store.h"
#include "tests/support/encode_layer.h"
#include "tests/support/sample_layer.h"

namespace slacker::testing {

inline absl::StatusOr<Digest> AddSample(StoreWriter& writer, const SampleLayer& sample) {
  for (size_t i = 0; i < sample.chunks.size(); ++i) {
    RETURN_IF_ERROR(writer.AddChunk(sample.layer.chunks[i].digest, sample.chunks[i]));
  }
  ASSIGN_OR_RETURN(const LayerTables tables, EncodeTables(sample.layer));
  return writer.AddLayer(tables);
}

inline Platform SamplePlatform() { return {"linux", "amd64", ""}; }

inline ImageEntry SampleImage() {
  ImageEntry image;
  image.name = "docker://registry.example/sample:1";
  image.platform = SamplePlatform();
  image.manifest_digest = Sha256::Of("manifest").ToString();
  image.compressed_bytes = 1000;
  image.unpacked_bytes = 3000;
  image.published_unix_seconds = 1'700'000'000;
  image.config_json = R"({"os":"linux"})";
  image.manifest_json = R"({"schemaVersion":2})";
  return image;
}

inline Digest SampleChain(const std::vector<SampleLayer>& samples) {
  std::vector<Digest> diff_ids;
  for (const SampleLayer& sample : samples) diff_ids.push_back(sample.layer.diff_id);
  return ChainId(diff_ids);
}

// Publishes an image of these layers, as a publisher does.
inline absl::Status PublishSamples(std::shared_ptr<Backend> backend,
                                   const std::vector<SampleLayer>& samples,
                                   const StoreWriter::Options& options = {},
                                   const std::string& repository = "") {
  ASSIGN_OR_RETURN(auto writer, StoreWriter::Open(std::move(backend), options));
  std::vector<ManifestLayer> layers;
  for (const SampleLayer& sample : samples) {
    ASSIGN_OR_RETURN(const Digest record, AddSample(*writer, sample));
    layers.push_back({sample.layer.diff_id, record});
  }
  return writer->CommitManifests(layers, SamplePlatform(), SampleImage(), repository);
}

// ReadChunksAsync and wait.
inline std::map<uint32_t, absl::StatusOr<std::string>> ReadChunks(const StoreReader& reader,
                                                                  const Layer& layer,
                                                                  const Locations& locations,
                                                                  uint32_t first, uint32_t count) {
  struct Answers {
    Mutex mutex;
    CondVar changed;
    std::map<uint32_t, absl::StatusOr<std::string>> chunks ABSL_GUARDED_BY(mutex);
  };
  Answers answers;
  reader.ReadChunksAsync(layer, locations, first, count,
                         [&answers](uint32_t chunk, absl::StatusOr<std::string> bytes) {
                           MutexLock lock(&answers.mutex);
                           answers.chunks.emplace(chunk, std::move(bytes));
                           answers.changed.SignalAll();
                         });
  MutexLock lock(&answers.mutex);
  while (answers.chunks.size() < count) answers.changed.Wait(&answers.mutex);
  return answers.chunks;
}

// All of them, to the end of the object.
inline absl::StatusOr<std::string> ReadLiterals(TarPartReader& tar) {
  std::string literals;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view bytes, tar.NextLiteral(kPageSize));
    if (bytes.empty()) break;
    literals += bytes;
  }
  RETURN_IF_ERROR(tar.Finish());
  return literals;
}

// Reads everything of a published image and compares it: OK when it is there and right.
inline absl::Status CheckSamples(std::shared_ptr<Backend> backend,
                                 const std::vector<SampleLayer>& samples) {
  const StoreReader reader(std::move(backend));
  ASSIGN_OR_RETURN(const Manifest manifest, reader.ReadManifest(SampleChain(samples)));
  if (manifest.layers.size() != samples.size()) return DataLoss("wrong number of layers");
  for (size_t i = 0; i < samples.size(); ++i) {
    ASSIGN_OR_RETURN(const DecodedRecord decoded, reader.ReadLayer(manifest.layers[i].record));
    const Layer& layer = decoded.layer;
    ASSIGN_OR_RETURN(TarPartReader tar, reader.OpenTarPart(manifest.layers[i].record, decoded));
    ASSIGN_OR_RETURN(const std::string literals, ReadLiterals(tar));
    if (literals != samples[i].layer.tar_literals.ToString()) return DataLoss("wrong tar part");
    const auto count = static_cast<uint32_t>(samples[i].chunks.size());
    ASSIGN_OR_RETURN(const Locations locations,
                     reader.ReadLocations(manifest.layers[i].record, count));
    for (const auto& [chunk, bytes] : ReadChunks(reader, layer, locations, 0, count)) {
      RETURN_IF_ERROR(bytes.status());
      if (*bytes != samples[i].chunks[chunk]) return DataLoss("wrong bytes");
    }
  }
  return absl::OkStatus();
}

}  // namespace slacker::testing
