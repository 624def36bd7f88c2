#include "backend/upkeep/stats.h"

#include <cstring>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"
#include "backend/view/image_usage.h"

namespace slacker {
namespace {

class Measurement {
 public:
  explicit Measurement(Backend* backend)
      : backend_(backend),
        reader_(std::shared_ptr<ReadBackend>(backend, [](ReadBackend* /*not ours*/) {})) {}

  absl::StatusOr<StoreStats> Run() {
    RETURN_IF_ERROR(MeasureObjects());
    std::vector<DamagedEntry> damaged;
    ASSIGN_OR_RETURN(const auto images, ListBareImages(*backend_, &damaged));
    if (!damaged.empty()) return Annotate(damaged[0].status, damaged[0].object);
    for (const ImageEntry& image : images) RETURN_IF_ERROR(AddImage(image));
    for (const Digest& record : record_order_) {
      RETURN_IF_ERROR(UnlessRemoved(MeasureLayer(record), users_[record]));
    }
    RETURN_IF_ERROR(MeasureUsage());
    return WithoutRemoved();
  }

 private:
  // Whether the image is still what it was when its entry was read.
  absl::StatusOr<bool> IsPublished(const ImageEntry& image) {
    const auto bytes =
        backend_->ReadWhole(ImageName(image.name, image.platform), kMaxImageEntryBytes);
    if (absl::IsNotFound(bytes.status())) return false;
    RETURN_IF_ERROR(bytes.status());
    ASSIGN_OR_RETURN(const ImageEntry now, DecodeImageEntry(*bytes));
    return now.chain_id == image.chain_id;
  }

  // Images that are removed meanwhile lose what they had: that is no damage.
  absl::Status UnlessRemoved(const absl::Status& status, const std::vector<uint32_t>& users) {
    if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
    for (const uint32_t user : users) {
      ASSIGN_OR_RETURN(const bool published, IsPublished(stats_.per_image[user].entry));
      if (published) return status;
      removed_.insert(user);
    }
    return absl::OkStatus();
  }

  StoreStats WithoutRemoved() {
    std::vector<ImageStats> left;
    for (uint32_t i = 0; i < stats_.per_image.size(); ++i) {
      if (!removed_.contains(i)) left.push_back(std::move(stats_.per_image[i]));
    }
    stats_.per_image = std::move(left);
    stats_.images = stats_.per_image.size();
    return std::move(stats_);
  }

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
    stats_.per_image.emplace_back().entry = image;
    const absl::StatusOr<Manifest> manifest = ReadManifest(image);
    if (!manifest.ok()) return UnlessRemoved(manifest.status(), {number});
    stats_.per_image[number].layers = manifest->layers.size();
    stats_.compressed_image_bytes += image.compressed_bytes;
    for (const ManifestLayer& layer : manifest->layers) {
      std::vector<uint32_t>& users = users_[layer.record];
      if (users.empty()) record_order_.push_back(layer.record);
      if (users.empty() || users.back() != number) users.push_back(number);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Manifest> ReadManifest(const ImageEntry& image) {
    ASSIGN_OR_RETURN(const auto names,
                     backend_->List(std::string(kManifestsPrefix) + image.chain_id.ToHex() + "/"));
    if (names.empty()) return DataLoss("the manifest of " + image.name + " is missing");
    return ReadAnyManifest(*backend_, names.front());
  }

  static uint64_t Short(const Digest& digest) {
    uint64_t value = 0;
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }

  absl::Status MeasureLayer(const Digest& record) {
    ASSIGN_OR_RETURN(const RecordObject object, reader_.ReadRecord(record));
    const Layer& layer = object.layer;
    ASSIGN_OR_RETURN(const Locations locations, reader_.ReadLocations(record, layer.chunks.size()));
    uint64_t layer_bytes = 0;
    for (size_t i = 0; i < layer.chunks.size(); ++i) {
      const Chunk& chunk = layer.chunks[i];
      layer_bytes += chunk.size_bytes;
      if (!chunks_.insert(Short(chunk.digest)).second) continue;
      stats_.chunk_bytes += chunk.size_bytes;
      stats_.stored_chunk_bytes += locations.chunks[i].stored_bytes;
    }
    stats_.unique_chunks = chunks_.size();
    stats_.chunks += layer.chunks.size();
    stats_.layer_bytes += layer_bytes;
    ++stats_.layers;
    for (const uint32_t number : users_[record]) {
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

  // What they take, as `slackerctl images` says it.
  absl::Status MeasureUsage() {
    std::vector<Digest> chains;
    for (const ImageStats& image : stats_.per_image) chains.push_back(image.entry.chain_id);
    const auto usages = MeasureImages(reader_, chains);
    for (uint32_t i = 0; i < usages.size(); ++i) {
      RETURN_IF_ERROR(UnlessRemoved(usages[i].status(), {i}));
      if (!usages[i].ok()) continue;
      stats_.per_image[i].stored_bytes = usages[i]->stored_bytes;
      stats_.per_image[i].shared_bytes = usages[i]->shared_bytes;
    }
    return absl::OkStatus();
  }

  Backend* const backend_;
  const StoreReader reader_;
  StoreStats stats_;
  std::vector<Digest> record_order_;
  absl::flat_hash_map<Digest, std::vector<uint32_t>> users_;  // of records: numbers of images
  absl::flat_hash_set<uint32_t> removed_;                     // meanwhile: numbers of images
  absl::flat_hash_set<uint64_t> chunks_, files_;
};

}  // namespace

absl::StatusOr<StoreStats> MeasureStore(Backend& backend) { return Measurement(&backend).Run(); }

}  // namespace slacker
