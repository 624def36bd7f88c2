#include "backend/export/image_export.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "backend/base/status.h"
#include "backend/export/recompressor.h"
#include "backend/layer/tar_reader.h"
#include "backend/store/blob_head.h"
#include "backend/store/layer_content.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
constexpr char kOciGzipLayer[] = "application/vnd.oci.image.layer.v1.tar+gzip";

nlohmann::json ToJson(const Descriptor& descriptor) {
  return {{"mediaType", descriptor.media_type},
          {"digest", descriptor.digest.ToString()},
          {"size", descriptor.size_bytes}};
}

class Export {
 public:
  Export(const StoreReader& reader, const ImageEntry& entry, ImageSink& sink,
         const ExportObserver& observer)
      : reader_(reader), entry_(entry), sink_(sink), observer_(observer) {}

  absl::StatusOr<ExportedImage> Run() {
    ASSIGN_OR_RETURN(const Manifest manifest, reader_.ReadManifest(entry_.chain_id));
    RETURN_IF_ERROR(CheckConfig(manifest));
    FindOriginals(manifest);
    image_.chain_id = manifest.chain_id;
    progress_.layers = manifest.layers.size();
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      RETURN_IF_ERROR(Annotate(AddLayer(manifest.layers[i], i),
                               "layer " + manifest.layers[i].diff_id.ToString()));
      ++progress_.layers_done;
      Report();
    }
    RETURN_IF_ERROR(AddConfig());
    RETURN_IF_ERROR(AddManifest());
    return std::move(image_);
  }

 private:
  void Report() const {
    if (observer_) observer_(progress_);
  }

  absl::Status CheckConfig(const Manifest& manifest) {
    const absl::StatusOr<OciConfig> config = ParseConfig(entry_.config_json);
    if (!config.ok()) {
      return DataLoss("the image's configuration in the store: " + Message(config.status()));
    }
    const bool same = std::equal(
        config->diff_ids.begin(), config->diff_ids.end(), manifest.layers.begin(),
        manifest.layers.end(),
        [](const Digest& diff_id, const ManifestLayer& layer) { return diff_id == layer.diff_id; });
    if (!same) return DataLoss("the image's configuration in the store is that of other layers");
    config_ = {kOciConfig, Sha256::Of(entry_.config_json), entry_.config_json.size(), {}, {}};
    return absl::OkStatus();
  }

  // What the layers were when they came, if the entry knows and fits.
  void FindOriginals(const Manifest& manifest) {
    if (entry_.manifest_json.empty()) return;
    absl::StatusOr<OciManifest> original = ParseManifest(entry_.manifest_json);
    if (!original.ok() || original->layers.size() != manifest.layers.size() ||
        original->config.digest != config_.digest) {
      return;
    }
    originals_ = *std::move(original);
  }

  absl::Status AddLayer(const ManifestLayer& names, size_t index) {
    std::optional<Descriptor> original;
    if (originals_.has_value()) original = originals_->layers[index];
    // A chain may have one layer twice.
    const auto done = done_.find(names.record);
    if (done != done_.end() &&
        (!original.has_value() || image_.layers[done->second].blob.digest == original->digest)) {
      image_.layers.push_back(image_.layers[done->second]);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const DecodedRecord record, reader_.ReadLayer(names.record));
    if (record.layer.diff_id != names.diff_id)
      return DataLoss("its record is that of another layer");
    ExportedLayer exported;
    exported.diff_id = names.diff_id;
    const bool plain = original.has_value() && original->digest == names.diff_id;
    absl::StatusOr<Spool> content =
        plain ? WritePlain(names, record) : WriteCompressed(names, record, original, &exported);
    RETURN_IF_ERROR(content.status());
    if (plain) {
      exported.blob.digest = names.diff_id;
      exported.original = true;
    }
    exported.blob.media_type = exported.original ? original->media_type : kOciGzipLayer;
    exported.blob.size_bytes = content->size_bytes();
    RETURN_IF_ERROR(sink_.PutBlob(exported.blob, *content));
    done_.emplace(names.record, image_.layers.size());
    image_.layers.push_back(std::move(exported));
    return absl::OkStatus();
  }

  // Hands the tar to `put`; DATA_LOSS unless it is the layer's.
  absl::Status Rebuild(const ManifestLayer& names, const DecodedRecord& record,
                       const TarSink& put) {
    const Layer& layer = record.layer;
    ASSIGN_OR_RETURN(TarPartReader tar, reader_.OpenTarPart(names.record, record));
    ASSIGN_OR_RETURN(Locations locations, reader_.ReadLocations(names.record, layer.chunks.size()));
    LayerContent chunks(&reader_, names.record, &layer, std::move(locations),
                        static_cast<uint32_t>(layer.chunks.size()));
    progress_.tar_bytes = layer.tar_size_bytes;
    progress_.tar_bytes_done = 0;
    ASSIGN_OR_RETURN(const Digest rebuilt,
                     RebuildTar(
                         layer, tar, [&chunks](uint32_t chunk) { return chunks.Get(chunk); },
                         [&](std::string_view bytes) {
                           progress_.tar_bytes_done += bytes.size();
                           Report();
                           return put(bytes);
                         }));
    if (rebuilt == names.diff_id) return absl::OkStatus();
    return DataLoss("the tar that the store gives back has the digest " + rebuilt.ToString());
  }

  absl::StatusOr<Spool> WritePlain(const ManifestLayer& names, const DecodedRecord& record) {
    ASSIGN_OR_RETURN(Spool spool, Spool::Open());
    RETURN_IF_ERROR(
        Rebuild(names, record, [&spool](std::string_view bytes) { return spool.Append(bytes); }));
    return spool;
  }

  absl::StatusOr<Spool> WriteCompressed(const ManifestLayer& names, const DecodedRecord& record,
                                        const std::optional<Descriptor>& original,
                                        ExportedLayer* exported) {
    std::optional<OriginalBlob> blob;
    if (original.has_value()) {
      ASSIGN_OR_RETURN(std::string head, ReadHead(HeadName(names.record, original->digest)));
      blob = {original->digest, original->size_bytes, std::move(head)};
    }
    absl::StatusOr<std::optional<Recompressor::Result>> result = Recompress(names, record, blob);
    if (result.ok() && !result->has_value()) {
      // It begins like something that we can make, and is something else.
      blob->head.clear();
      result = Recompress(names, record, blob);
    }
    RETURN_IF_ERROR(result.status());
    exported->blob.digest = (*result)->digest;
    exported->original = (*result)->original;
    return std::move((*result)->content);
  }

  absl::StatusOr<std::optional<Recompressor::Result>> Recompress(
      const ManifestLayer& names, const DecodedRecord& record,
      const std::optional<OriginalBlob>& blob) {
    Recompressor recompressor(blob, record.layer.tar_size_bytes);
    RETURN_IF_ERROR(Rebuild(names, record, [&recompressor](std::string_view bytes) {
      return recompressor.Append(bytes);
    }));
    return std::move(recompressor).Finish();
  }

  // "" where the store does not have it: of a layer of an older program, or one that a publication
  // found in the store under another compression.
  absl::StatusOr<std::string> ReadHead(const std::string& name) {
    auto head = ReadBlobHead(reader_.backend(), name);
    if (absl::IsNotFound(head.status()) || absl::IsDataLoss(head.status())) return "";
    return head;
  }

  absl::Status AddConfig() {
    if (originals_.has_value()) config_.media_type = originals_->config.media_type;
    ASSIGN_OR_RETURN(const Spool content, Spool::Of(entry_.config_json));
    return sink_.PutBlob(config_, content);
  }

  absl::Status AddManifest() {
    std::string content = entry_.manifest_json;
    image_.original_manifest =
        originals_.has_value() && std::all_of(image_.layers.begin(), image_.layers.end(),
                                              [](const auto& layer) { return layer.original; });
    if (image_.original_manifest) {
      image_.manifest.media_type = ManifestTypeOf(content);
    } else {
      image_.manifest.media_type = kOciManifest;
      nlohmann::json json = {{"schemaVersion", 2}, {"mediaType", kOciManifest}};
      config_.media_type = kOciConfig;
      json["config"] = ToJson(config_);
      json["layers"] = nlohmann::json::array();
      for (const ExportedLayer& layer : image_.layers) json["layers"].push_back(Listed(layer));
      content = json.dump();
    }
    image_.manifest.digest = Sha256::Of(content);
    image_.manifest.size_bytes = content.size();
    return sink_.PutManifest(image_.manifest, content);
  }

  // In a manifest of ours docker's types have no place.
  static nlohmann::json Listed(const ExportedLayer& layer) {
    nlohmann::json json = ToJson(layer.blob);
    constexpr std::string_view kDocker = "application/vnd.docker.";
    if (layer.blob.media_type.starts_with(kDocker)) {
      const bool plain = layer.blob.digest == layer.diff_id;
      json["mediaType"] = plain ? "application/vnd.oci.image.layer.v1.tar" : kOciGzipLayer;
    }
    return json;
  }

  const StoreReader& reader_;
  const ImageEntry& entry_;
  ImageSink& sink_;
  const ExportObserver& observer_;
  Descriptor config_;
  std::optional<OciManifest> originals_;
  std::unordered_map<Digest, size_t> done_;  // by record, the layer's place
  ExportedImage image_;
  ExportProgress progress_;
};

}  // namespace

absl::StatusOr<ExportedImage> ExportImage(const StoreReader& reader, const ImageEntry& entry,
                                          ImageSink& sink, const ExportObserver& observer) {
  return Export(reader, entry, sink, observer).Run();
}

}  // namespace slacker
