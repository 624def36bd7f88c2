#include "backend/upkeep/stats.h"

#include <cstring>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"

namespace slacker {
namespace {

constexpr uint32_t kSeveral = UINT32_MAX;  // instead of one image's number

class Measurement {
 public:
  explicit Measurement(Backend* backend)
      : backend_(backend),
        reader_(std::shared_ptr<ReadBackend>(backend, [](ReadBackend* /*not ours*/) {})) {}

  absl::StatusOr<StoreStats> Run() {
    RETURN_IF_ERROR(MeasureObjects());
    ASSIGN_OR_RETURN(const Marks marks, Mark(*backend_, {.packs = false}));
    stats_.images = marks.images.size();
    for (const ImageEntry& image : marks.images) RETURN_IF_ERROR(AddImage(image));
    for (const Digest& record : marks.record_order) RETURN_IF_ERROR(MeasureLayer(record));
    for (const Digest& record : marks.record_order) RETURN_IF_ERROR(ShareLayer(record));
    return std::move(stats_);
  }

 private:
  absl::Status MeasureObjects() {
    ASSIGN_OR_RETURN(const auto names, backend_->List(""));
    for (const std::string& name : names) {
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      const ObjectKind kind = IdentifyObject(name).kind;
      *TotalOf(kind) += info->size_bytes;
      stats_.total_bytes += info->size_bytes;
      stats_.packs += kind == ObjectKind::kPack ? 1 : 0;
    }
    return absl::OkStatus();
  }

  uint64_t* TotalOf(ObjectKind kind) {
    switch (kind) {
      case ObjectKind::kPack:
        return &stats_.pack_bytes;
      case ObjectKind::kPackIndex:
      case ObjectKind::kMergedIndex:
        return &stats_.index_bytes;
      case ObjectKind::kRecord:
        return &stats_.record_bytes;
      case ObjectKind::kTar:
        return &stats_.tar_bytes;
      case ObjectKind::kLocations:
        return &stats_.location_bytes;
      default:
        return &stats_.other_bytes;
    }
  }

  // Which records it has; of several manifests of its chain, those of the first.
  absl::Status AddImage(const ImageEntry& image) {
    const auto number = static_cast<uint32_t>(stats_.per_image.size());
    ASSIGN_OR_RETURN(const auto names,
                     backend_->List(std::string(kManifestsPrefix) + image.chain_id.ToHex() + "/"));
    if (names.empty()) return DataLoss("the manifest of " + image.name + " is missing");
    ASSIGN_OR_RETURN(const Manifest manifest, ReadAnyManifest(*backend_, names.front()));
    ImageStats& stats = stats_.per_image.emplace_back();
    stats.entry = image;
    stats.layers = manifest.layers.size();
    stats_.compressed_image_bytes += image.compressed_bytes;
    for (const ManifestLayer& layer : manifest.layers) {
      std::vector<uint32_t>& users = users_[layer.record];
      if (users.empty() || users.back() != number) users.push_back(number);
    }
    return absl::OkStatus();
  }

  static uint64_t Short(const Digest& digest) {
    uint64_t value = 0;
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }

  absl::StatusOr<RecordObject> Read(const Digest& record, Locations* locations) {
    ASSIGN_OR_RETURN(RecordObject object, reader_.ReadRecord(record));
    ASSIGN_OR_RETURN(*locations, reader_.ReadLocations(record, object.layer.chunks.size()));
    return object;
  }

  absl::Status MeasureLayer(const Digest& record) {
    Locations locations;
    ASSIGN_OR_RETURN(const RecordObject object, Read(record, &locations));
    const Layer& layer = object.layer;
    const std::vector<uint32_t>& users = users_[record];
    const uint32_t user = users.size() == 1 ? users[0] : kSeveral;
    uint64_t layer_bytes = 0;
    for (size_t i = 0; i < layer.chunks.size(); ++i) {
      const Chunk& chunk = layer.chunks[i];
      layer_bytes += chunk.size_bytes;
      const auto [known, is_new] = user_of_.try_emplace(Short(chunk.digest), user);
      if (!is_new && known->second != user) known->second = kSeveral;
      if (!is_new) continue;
      stats_.chunk_bytes += chunk.size_bytes;
      stats_.stored_chunk_bytes += locations.chunks[i].stored_bytes;
    }
    stats_.unique_chunks = user_of_.size();
    stats_.chunks += layer.chunks.size();
    stats_.layer_bytes += layer_bytes;
    ++stats_.layers;
    for (const uint32_t number : users) {
      stats_.per_image[number].content_bytes += layer_bytes;
      stats_.logical_bytes += layer_bytes;
    }
    MeasureFiles(layer);
    return absl::OkStatus();
  }

  // Two files are one if they have the same size and the same chunks at the same places.
  void MeasureFiles(const Layer& layer) {
    for (const File& file : layer.files) {
      std::string identity;
      Encoder out(&identity);
      out.U64(file.size_bytes);
      uint64_t bytes = 0;
      for (uint32_t i = 0; i < file.chunk_count; ++i) {
        const Chunk& chunk = layer.chunks[file.first_chunk + i];
        out.U32(chunk.index);
        out.Hash(chunk.digest);
        bytes += chunk.size_bytes;
      }
      ++stats_.files;
      if (!files_.insert(Short(Sha256::Of(identity))).second) continue;
      stats_.file_bytes += bytes;
      ++stats_.unique_files;
    }
  }

  absl::Status ShareLayer(const Digest& record) {
    const std::vector<uint32_t>& users = users_[record];
    if (users.empty()) return absl::OkStatus();
    Locations locations;
    ASSIGN_OR_RETURN(const RecordObject object, Read(record, &locations));
    uint64_t stored = 0;
    uint64_t shared = 0;
    absl::flat_hash_set<uint64_t> seen;
    for (size_t i = 0; i < object.layer.chunks.size(); ++i) {
      const uint64_t chunk = Short(object.layer.chunks[i].digest);
      if (!seen.insert(chunk).second) continue;
      stored += locations.chunks[i].stored_bytes;
      if (user_of_[chunk] == kSeveral) shared += locations.chunks[i].stored_bytes;
    }
    for (const uint32_t number : users) {
      stats_.per_image[number].stored_bytes += stored;
      stats_.per_image[number].shared_bytes += shared;
    }
    return absl::OkStatus();
  }

  Backend* const backend_;
  const StoreReader reader_;
  StoreStats stats_;
  absl::flat_hash_map<Digest, std::vector<uint32_t>> users_;  // of records: numbers of images
  absl::flat_hash_map<uint64_t, uint32_t> user_of_;           // of chunks
  absl::flat_hash_set<uint64_t> files_;
};

}  // namespace

absl::StatusOr<StoreStats> MeasureStore(Backend& backend) { return Measurement(&backend).Run(); }

}  // namespace slacker
