#include <algorithm>
#include <future>
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

// Small objects, all at once.
std::vector<absl::StatusOr<std::string>> ReadObjects(ReadBackend& backend,
                                                     const std::vector<std::string>& names,
                                                     uint64_t limit) {
  std::vector<std::promise<absl::StatusOr<std::string>>> promises(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    backend.ReadAsync(names[i], 0, limit + 1, [&promise = promises[i]](auto bytes) {
      promise.set_value(std::move(bytes));
    });
  }
  std::vector<absl::StatusOr<std::string>> objects;
  for (size_t i = 0; i < names.size(); ++i) {
    objects.push_back(promises[i].get_future().get());
    if (objects[i].ok() && objects[i]->size() > limit) {
      objects[i] = DataLoss("object " + names[i] + " is too large");
    }
  }
  return objects;
}

}  // namespace

absl::Status CheckTrust(ReadBackend& backend, const Trust& trust) {
  if (!trust.keys.empty() || trust.insecure || !backend.IsNetwork()) return absl::OkStatus();
  return FailedPrecondition("the store " + backend.Url() +
                            " is on a network, and there is no key to check its manifests with");
}

StoreReader::StoreReader(std::shared_ptr<ReadBackend> backend, Trust trust)
    : backend_(std::move(backend)), trust_(std::move(trust)) {}

absl::StatusOr<Manifest> StoreReader::ReadManifest(const Digest& chain_id) const {
  RETURN_IF_ERROR(CheckTrust(*backend_, trust_));
  const size_t keys = trust_.keys.size();
  std::vector<std::string> names;
  for (const PublicKey& key : trust_.keys) names.push_back(ManifestName(chain_id, key.id()));
  names.push_back(ManifestName(chain_id, std::nullopt));
  const auto objects = ReadObjects(*backend_, names, kMaxManifestBytes);
  if (keys == 0) {
    RETURN_IF_ERROR(objects[0].status());
    return DecodeManifest(*objects[0], chain_id, nullptr);
  }
  absl::Status failed = absl::OkStatus();
  for (size_t i = 0; i < keys; ++i) {
    if (absl::IsNotFound(objects[i].status())) continue;
    auto manifest = objects[i].ok() ? DecodeManifest(*objects[i], chain_id, &trust_.keys[i])
                                    : objects[i].status();
    if (manifest.ok()) return manifest;
    failed.Update(manifest.status());
  }
  RETURN_IF_ERROR(failed);
  if (!objects[keys].ok()) return objects[keys].status();
  return FailedPrecondition("the manifest of " + chain_id.ToString() +
                            " is not signed by a trusted key");
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
