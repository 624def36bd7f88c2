#include <algorithm>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <tuple>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/record/layer_codec.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/object_stream.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

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
  auto next = promises.begin();
  for (const std::string& name : names) {
    backend.ReadAsync(name, 0, limit + 1,
                      [promise = &*next++](auto bytes) { promise->set_value(std::move(bytes)); });
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

// Names of an object that every key may have signed: one for each key, and the unsigned one.
using NameBy = std::function<std::string(const std::optional<Digest>& key_id)>;

NameBy ManifestNames(const Digest& chain_id) {
  return [&chain_id](const auto& key_id) { return ManifestName(chain_id, key_id); };
}

NameBy GrantNames(const Grant& grant) {
  return [&grant](const auto& key_id) { return GrantName(grant, key_id); };
}

std::vector<std::string> NamesOf(const Trust& trust, const NameBy& name_by) {
  std::vector<std::string> names;
  for (const PublicKey& key : trust.keys) names.push_back(name_by(key.id()));
  names.push_back(name_by(std::nullopt));
  return names;
}

// Whether one of the objects read under these names counts. NOT_FOUND: there is none of any kind;
// FAILED_PRECONDITION: there is one, but it does not count.
absl::Status Pick(const Trust& trust, std::span<const absl::StatusOr<std::string>> objects,
                  const std::string& what,
                  const std::function<absl::Status(std::string_view, const PublicKey*)>& accept) {
  const absl::StatusOr<std::string>& unsigned_one = objects.back();
  if (trust.keys.empty()) {
    RETURN_IF_ERROR(unsigned_one.status());
    return accept(*unsigned_one, nullptr);
  }
  absl::Status failed;
  for (size_t i = 0; i < trust.keys.size(); ++i) {
    if (absl::IsNotFound(objects[i].status())) continue;
    const absl::Status accepted =
        objects[i].ok() ? accept(*objects[i], &trust.keys[i]) : objects[i].status();
    if (accepted.ok()) return accepted;
    failed.Update(accepted);
  }
  RETURN_IF_ERROR(failed);
  RETURN_IF_ERROR(unsigned_one.status());
  return FailedPrecondition(what + " is not signed by a trusted key");
}

absl::StatusOr<Manifest> PickManifest(const Trust& trust,
                                      std::span<const absl::StatusOr<std::string>> objects,
                                      const Digest& chain_id) {
  Manifest manifest;
  RETURN_IF_ERROR(Pick(trust, objects, "the manifest of " + chain_id.ToString(),
                       [&](std::string_view bytes, const PublicKey* key) -> absl::Status {
                         ASSIGN_OR_RETURN(manifest, DecodeManifest(bytes, chain_id, key));
                         return absl::OkStatus();
                       }));
  return manifest;
}

absl::Status CheckGrant(const Trust& trust, std::span<const absl::StatusOr<std::string>> objects,
                        const Grant& grant) {
  return Pick(
      trust, objects, "the grant of " + grant.chain_id.ToString(),
      [&](std::string_view bytes, const PublicKey* key) { return DecodeGrant(bytes, grant, key); });
}

absl::StatusOr<StoreReader::GrantedManifest> ReadGranted(ReadBackend& backend, const Trust& trust,
                                                         const Digest& chain_id,
                                                         const std::string& repository) {
  const Grant to_anybody{chain_id, ""};
  const Grant to_repository{chain_id, repository};
  std::vector<std::string> names = NamesOf(trust, ManifestNames(chain_id));
  const size_t each = names.size();
  const auto add_grant = [&](const Grant& grant) {
    for (std::string& name : NamesOf(trust, GrantNames(grant))) names.push_back(std::move(name));
  };
  add_grant(to_anybody);
  if (!repository.empty()) add_grant(to_repository);
  const auto objects = ReadObjects(backend, names, kMaxManifestBytes);
  const auto parts = std::span(objects);
  StoreReader::GrantedManifest found;
  ASSIGN_OR_RETURN(found.manifest, PickManifest(trust, parts.first(each), chain_id));
  const absl::Status anybody = CheckGrant(trust, parts.subspan(each, each), to_anybody);
  found.to_anybody = anybody.ok();
  if (anybody.ok()) return found;
  const absl::Status one = repository.empty()
                               ? anybody
                               : CheckGrant(trust, parts.subspan(2 * each, each), to_repository);
  if (one.ok()) return found;
  for (const absl::Status& status : {anybody, one}) {
    if (!absl::IsNotFound(status) && !absl::IsFailedPrecondition(status)) return status;
  }
  return absl::UnauthenticatedError(chain_id.ToString() +
                                    " is published, but not for everybody: " + Message(one));
}

// One copy of a store, as a store.
class CopyBackend final : public ReadBackend {
 public:
  CopyBackend(ReadBackend* backend, int copy) : backend_(backend), copy_(copy) {}
  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    backend_->ReadCopyAsync(copy_, name, offset, size, std::move(done));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override { return backend_->Stat(name); }
  std::string Url() const override { return backend_->Url(); }
  bool IsNetwork() const override { return backend_->IsNetwork(); }

 private:
  ReadBackend* const backend_;
  const int copy_;
};

// What is not right, or not there, in the copy that answered first may be in another one. But for who
// may have an image: the first answer decides.
template <typename Read>
auto FromAnyCopy(ReadBackend& backend, const Read& read) {
  auto result = read(backend);
  const bool may_be_elsewhere = absl::IsDataLoss(result.status()) ||
                                absl::IsNotFound(result.status()) ||
                                absl::IsFailedPrecondition(result.status());
  if (!may_be_elsewhere || backend.Copies() == 1) return result;
  for (int copy = 0; copy < backend.Copies(); ++copy) {
    CopyBackend one(&backend, copy);
    if (auto other = read(one); other.ok()) return other;
  }
  return result;
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
  auto manifest = FromAnyCopy(*backend_, [&](ReadBackend& backend) {
    return PickManifest(
        trust_, ReadObjects(backend, NamesOf(trust_, ManifestNames(chain_id)), kMaxManifestBytes),
        chain_id);
  });
  if (!absl::IsNotFound(manifest.status())) return manifest;
  return NotFound("no image with the chain ID " + chain_id.ToString() + " is published");
}

absl::StatusOr<StoreReader::GrantedManifest> StoreReader::ReadGrantedManifest(
    const Digest& chain_id, const std::string& repository) const {
  RETURN_IF_ERROR(CheckTrust(*backend_, trust_));
  return FromAnyCopy(*backend_, [&](ReadBackend& backend) {
    return ReadGranted(backend, trust_, chain_id, repository);
  });
}

absl::StatusOr<RecordObject> StoreReader::ReadRecord(const Digest& record) const {
  return FromAnyCopy(*backend_, [&](ReadBackend& backend) -> absl::StatusOr<RecordObject> {
    RecordObject object;
    auto bytes = std::make_unique<ObjectStream>(&backend, RecordName(record), &object.stored);
    ASSIGN_OR_RETURN(DecodedRecord decoded, DecodeRecord(std::move(bytes), record));
    object.layer = std::move(decoded.layer);
    return object;
  });
}

absl::StatusOr<DecodedRecord> StoreReader::ReadLayer(const Digest& record) const {
  return DecodeRecord(std::make_unique<ObjectStream>(backend_.get(), RecordName(record), nullptr),
                      record);
}

absl::StatusOr<TarPartReader> StoreReader::OpenTarPart(const Digest& record,
                                                       const DecodedRecord& layer) const {
  auto bytes = std::make_unique<ObjectStream>(backend_.get(), TarName(record), nullptr);
  auto reader = TarPartReader::Open(std::move(bytes), layer.tar_part, layer.layer);
  if (!reader.ok()) return Annotate(reader.status(), TarName(record));
  return reader;
}

absl::StatusOr<Locations> StoreReader::ReadLocations(const Digest& record,
                                                     std::optional<size_t> chunk_count) const {
  // Reads of missing data wait for it: an endless one must not be read far.
  const uint64_t limit =
      chunk_count.has_value() ? MaxLocationsBytes(*chunk_count) : kMaxLocationsBytes;
  return FromAnyCopy(*backend_, [&](ReadBackend& backend) -> absl::StatusOr<Locations> {
    ASSIGN_OR_RETURN(const std::string bytes, ReadObject(backend, LocationsName(record), limit));
    return DecodeLocations(bytes, record, chunk_count);
  });
}

absl::StatusOr<Layer> DecodeRecordObject(std::string_view stored, const Digest& record) {
  ASSIGN_OR_RETURN(DecodedRecord decoded,
                   DecodeRecord(std::make_unique<MemoryBytes>(stored), record));
  return std::move(decoded.layer);
}

namespace {

absl::StatusOr<std::vector<ImageEntry>> ReadImages(Backend& backend, bool documents,
                                                   std::vector<DamagedEntry>* damaged) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kImagesPrefix));
  std::vector<ImageEntry> images;
  for (const std::string& name : names) {
    if (!ParseDigestName(name, kImagesPrefix).ok()) continue;  // somebody else's file
    const auto bytes = ReadObject(backend, name, kMaxImageEntryBytes);
    if (absl::IsNotFound(bytes.status())) continue;  // removed meanwhile
    if (!bytes.ok() && !absl::IsDataLoss(bytes.status())) return bytes.status();
    auto image = bytes.ok() ? DecodeImageEntry(*bytes) : bytes.status();
    if (!image.ok() && damaged != nullptr) {
      damaged->push_back({name, image.status()});
    } else if (!image.ok()) {
      Log(LogLevel::kWarning, "image entry cannot be read, ignoring",
          {{"object", name}, {"error", Message(image.status())}});
    }
    if (!image.ok()) continue;
    if (!documents) {
      std::string().swap(image->config_json);  // an assignment would keep its memory
      std::string().swap(image->manifest_json);
    }
    images.push_back(*std::move(image));
  }
  std::sort(images.begin(), images.end(), [](const ImageEntry& a, const ImageEntry& b) {
    return std::tie(a.name, a.platform.os, a.platform.architecture, a.platform.variant) <
           std::tie(b.name, b.platform.os, b.platform.architecture, b.platform.variant);
  });
  return images;
}

}  // namespace

absl::StatusOr<std::vector<ImageEntry>> ListImages(Backend& backend,
                                                   std::vector<DamagedEntry>* damaged) {
  return ReadImages(backend, true, damaged);
}

absl::StatusOr<std::vector<ImageEntry>> ListBareImages(Backend& backend,
                                                       std::vector<DamagedEntry>* damaged) {
  return ReadImages(backend, false, damaged);
}

}  // namespace slacker
