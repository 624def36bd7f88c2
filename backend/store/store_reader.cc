#include <algorithm>
#include <tuple>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/record/layer_codec.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

constexpr uint64_t kPagedObjectOverhead = 4 << 20;  // header and page lengths of the largest ones

// An object that is too large is damaged, or not what its name says.
absl::StatusOr<std::string> ReadObject(ReadBackend& backend, const std::string& name,
                                       uint64_t limit) {
  auto bytes = backend.ReadWhole(name, limit);
  if (absl::IsResourceExhausted(bytes.status())) return DataLoss(Message(bytes.status()));
  return bytes;
}

}  // namespace

StoreReader::StoreReader(std::shared_ptr<ReadBackend> backend) : backend_(std::move(backend)) {}

absl::StatusOr<Manifest> StoreReader::ReadManifest(const Digest& chain_id) const {
  ASSIGN_OR_RETURN(const std::string bytes,
                   ReadObject(*backend_, ManifestName(chain_id), kMaxManifestBytes));
  return DecodeManifest(bytes, chain_id);
}

absl::StatusOr<RecordObject> StoreReader::ReadRecord(const Digest& record) const {
  RecordObject object;
  ASSIGN_OR_RETURN(object.stored, ReadObject(*backend_, RecordName(record),
                                             kMaxRecordBytes + kPagedObjectOverhead));
  ASSIGN_OR_RETURN(object.layer, DecodeRecordObject(object.stored, record));
  return object;
}

absl::StatusOr<Layer> StoreReader::ReadLayerWithTar(const Digest& record) const {
  ASSIGN_OR_RETURN(const std::string bytes, ReadObject(*backend_, RecordName(record),
                                                       kMaxRecordBytes + kPagedObjectOverhead));
  ASSIGN_OR_RETURN(DecodedRecord decoded, DecodeRecord(bytes, record));
  ASSIGN_OR_RETURN(const std::string tar,
                   ReadObject(*backend_, TarName(record), kMaxTarPartBytes + kPagedObjectOverhead));
  RETURN_IF_ERROR(Annotate(DecodeTarPart(tar, decoded.tar_part, &decoded.layer), TarName(record)));
  return std::move(decoded.layer);
}

absl::StatusOr<Locations> StoreReader::ReadLocations(const Digest& record,
                                                     size_t chunk_count) const {
  ASSIGN_OR_RETURN(const std::string bytes,
                   ReadObject(*backend_, LocationsName(record), kMaxLocationsBytes));
  return DecodeLocations(bytes, record, chunk_count);
}

absl::StatusOr<Layer> DecodeRecordObject(std::string_view stored, const Digest& record) {
  ASSIGN_OR_RETURN(DecodedRecord decoded, DecodeRecord(stored, record));
  return std::move(decoded.layer);
}

absl::StatusOr<std::vector<ImageEntry>> ListImages(Backend& backend) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kImagesPrefix));
  std::vector<ImageEntry> images;
  for (const std::string& name : names) {
    const auto bytes = ReadObject(backend, name, kMaxImageEntryBytes);
    if (absl::IsNotFound(bytes.status())) continue;  // removed meanwhile
    if (!bytes.ok() && !absl::IsDataLoss(bytes.status())) return bytes.status();
    auto image = bytes.ok() ? DecodeImageEntry(*bytes) : bytes.status();
    if (!image.ok()) {
      Log(LogLevel::kWarning, "image entry cannot be read, ignoring",
          {{"object", name}, {"error", Message(image.status())}});
      continue;
    }
    images.push_back(*std::move(image));
  }
  std::sort(images.begin(), images.end(), [](const ImageEntry& a, const ImageEntry& b) {
    return std::tie(a.name, a.platform.os, a.platform.architecture, a.platform.variant) <
           std::tie(b.name, b.platform.os, b.platform.architecture, b.platform.variant);
  });
  return images;
}

}  // namespace slacker
