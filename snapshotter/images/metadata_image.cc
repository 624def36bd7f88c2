#include "snapshotter/images/metadata_image.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/erofs/image_builder.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

constexpr std::string_view kMagic = "SLKMETA1";
constexpr std::string_view kImageSuffix = ".erofs", kMetaSuffix = ".meta";
constexpr uint64_t kMaxMetaBytes = 1 << 20;
constexpr size_t kDigestBytes = 32;

std::string EncodeMeta(const Digest& chain_id, const ErofsImage& image, const Digest& digest) {
  std::string out;
  Encoder encoder(&out);
  encoder.Raw(kMagic);
  encoder.Hash(chain_id);
  encoder.U64(image.size_bytes);
  encoder.Hash(digest);
  encoder.U32(static_cast<uint32_t>(image.devices.size()));
  for (const uint32_t layer : image.devices) encoder.U32(layer);
  encoder.Hash(Sha256::Of(out));
  return out;
}

struct Meta {
  Digest chain_id;
  uint64_t size_bytes = 0;
  Digest digest;
  std::vector<uint32_t> devices;
};

absl::StatusOr<Meta> DecodeMeta(std::string_view bytes, size_t layers) {
  if (bytes.size() < kDigestBytes) return DataLoss("truncated");
  const std::string_view body = bytes.substr(0, bytes.size() - kDigestBytes);
  if (AsText(Sha256::Of(body).bytes) != bytes.substr(body.size())) return DataLoss("checksum");
  Decoder decoder(body);
  if (decoder.Raw(kMagic.size()) != kMagic) return DataLoss("another format");
  Meta meta;
  meta.chain_id = decoder.Hash();
  meta.size_bytes = decoder.U64();
  meta.digest = decoder.Hash();
  const uint32_t devices = decoder.U32();
  if (!decoder.ok() || devices > layers || decoder.remaining() != size_t{devices} * 4) {
    return DataLoss("malformed");
  }
  for (uint32_t i = 0; i < devices; ++i) {
    meta.devices.push_back(decoder.U32());
    if (meta.devices.back() >= layers) return DataLoss("a device that is no layer");
  }
  return meta;
}

}  // namespace

std::string MetadataImages::ImagePath(uint64_t image_id) const {
  return directory_ + "/" + std::to_string(image_id) + std::string(kImageSuffix);
}

std::string MetadataImages::MetaPath(uint64_t image_id) const {
  return directory_ + "/" + std::to_string(image_id) + std::string(kMetaSuffix);
}

absl::StatusOr<MetadataImage> MetadataImages::Find(const ImageRow& image, size_t layers) const {
  ASSIGN_OR_RETURN(const std::string bytes, ReadSmallFile(MetaPath(image.id), kMaxMetaBytes));
  auto meta = DecodeMeta(bytes, layers);
  if (!meta.ok()) return Annotate(meta.status(), MetaPath(image.id));
  if (meta->chain_id != image.chain_id) return DataLoss(MetaPath(image.id) + ": another chain");
  ASSIGN_OR_RETURN(const FileDigest found, DigestOfFile(ImagePath(image.id)));
  if (found.size_bytes != meta->size_bytes || found.digest != meta->digest) {
    return DataLoss(ImagePath(image.id) + " is damaged");
  }
  return MetadataImage{ImagePath(image.id), std::move(meta->devices)};
}

absl::StatusOr<MetadataImage> MetadataImages::Build(
    const ImageRow& image, const std::vector<BlobRow>& layers,
    const std::function<void(const std::vector<const Layer*>&)>& look) const {
  std::vector<std::shared_ptr<const Layer>> decoded;  // shared with who opens their blobs
  std::vector<const Layer*> pointers;
  for (const BlobRow& row : layers) {
    auto recent = records_->recent().Find(row.record);
    if (recent == nullptr) {
      auto layer = records_->Load(row.record);
      if (absl::IsNotFound(layer.status())) return DataLoss(Message(layer.status()));
      if (!layer.ok()) return layer.status();
      recent = std::make_shared<const Layer>(*std::move(layer));
    }
    pointers.push_back(recent.get());
    decoded.push_back(std::move(recent));
  }
  ErofsImage built;
  Sha256 hash;
  RETURN_IF_ERROR(
      WriteFileAtomically(ImagePath(image.id), [&](const FileSink& sink) -> absl::Status {
        ASSIGN_OR_RETURN(built, BuildErofsImage(pointers, [&](std::string_view bytes) {
                           hash.Update(bytes);
                           return sink(bytes);
                         }));
        return absl::OkStatus();
      }));
  SLACKER_FAILPOINT("metadata_image.before_meta");
  RETURN_IF_ERROR(
      WriteFileAtomically(MetaPath(image.id), EncodeMeta(image.chain_id, built, hash.Finish())));
  RETURN_IF_ERROR(SyncDirectory(directory_));
  if (look) look(pointers);
  return MetadataImage{ImagePath(image.id), std::move(built.devices)};
}

absl::Status MetadataImages::Remove(uint64_t image_id) const {
  RETURN_IF_ERROR(RemoveFile(MetaPath(image_id)));
  return RemoveFile(ImagePath(image_id));
}

absl::Status MetadataImages::RemoveAllBut(const std::vector<ImageRow>& keep) const {
  std::set<uint64_t> wanted;
  for (const ImageRow& image : keep) wanted.insert(image.id);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory_));
  for (const std::string& name : names) {
    const std::string_view whole = WithoutAside(name);
    const auto image = IdOfName(whole, kImageSuffix), meta = IdOfName(whole, kMetaSuffix);
    if (!image.has_value() && !meta.has_value()) continue;
    if (whole == name && wanted.contains(image.has_value() ? *image : *meta)) continue;
    RETURN_IF_ERROR(RemoveFile(directory_ + "/" + name));
  }
  return absl::OkStatus();
}

}  // namespace slacker
