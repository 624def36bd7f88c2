#include "backend/store/manifest_codec.h"

#include <array>
#include <utility>
#include <vector>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "store.pb.h"

namespace slacker {
namespace {

constexpr uint32_t kManifestVersion = 1;
constexpr uint32_t kImageVersion = 2;  // of image entries with a manifest
constexpr std::string_view kManifestPurpose = "slacker manifest v1";
constexpr std::string_view kGrantPurpose = "slacker grant v1";

std::string ToBytes(const Digest& digest) { return std::string(AsText(digest.bytes)); }

absl::StatusOr<Digest> ToDigest(const std::string& bytes) {
  Decoder in(bytes);
  const Digest digest = in.Hash();
  if (!in.done()) return DataLoss("digest of the wrong length");
  return digest;
}

// What an envelope says beside its body.
struct Signed {
  std::string key_id;
  std::string signature;
};

std::string Wrap(std::string body, const Signed& by) {
  store::v1::Envelope envelope;
  envelope.set_version(kManifestVersion);
  envelope.set_key_id(by.key_id);
  envelope.set_signature(by.signature);
  envelope.set_body_sha256(ToBytes(Sha256::Of(body)));
  envelope.set_body(std::move(body));
  return envelope.SerializeAsString();
}

absl::StatusOr<std::string> Unwrap(std::string_view bytes, Signed* by) {
  store::v1::Envelope envelope;
  if (!envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DataLoss("damaged envelope");
  }
  if (envelope.version() != kManifestVersion) {
    return DataLoss("envelope of unknown version " + std::to_string(envelope.version()));
  }
  ASSIGN_OR_RETURN(const Digest digest, ToDigest(envelope.body_sha256()));
  if (Sha256::Of(envelope.body()) != digest) return DataLoss("body does not match its digest");
  *by = {envelope.key_id(), envelope.signature()};
  return std::move(*envelope.mutable_body());
}

void SetPlatform(const Platform& platform, store::v1::Platform* out) {
  out->set_os(platform.os);
  out->set_architecture(platform.architecture);
  out->set_variant(platform.variant);
}

Platform GetPlatform(const store::v1::Platform& platform) {
  return {platform.os(), platform.architecture(), platform.variant()};
}

absl::StatusOr<Manifest> ParseManifest(const std::string& encoded) {
  store::v1::ManifestBody body;
  if (!body.ParseFromString(encoded)) return DataLoss("damaged body");
  if (body.version() != kManifestVersion) {
    return DataLoss("body of unknown version " + std::to_string(body.version()));
  }
  if (body.layers_size() == 0 || static_cast<size_t>(body.layers_size()) > kMaxLayers) {
    return DataLoss("wrong number of layers");
  }
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.chain_id, ToDigest(body.chain_id()));
  manifest.platform = GetPlatform(body.platform());
  for (const auto& layer : body.layers()) {
    ManifestLayer& added = manifest.layers.emplace_back();
    ASSIGN_OR_RETURN(added.diff_id, ToDigest(layer.diff_id()));
    ASSIGN_OR_RETURN(added.record, ToDigest(layer.record()));
  }
  return manifest;
}

absl::StatusOr<ImageEntry> ParseImageEntry(std::string_view bytes) {
  Signed by;
  ASSIGN_OR_RETURN(const std::string encoded, Unwrap(bytes, &by));
  store::v1::Image body;
  if (!body.ParseFromString(encoded)) return DataLoss("damaged body");
  if (body.version() != kManifestVersion && body.version() != kImageVersion) {
    return DataLoss("body of unknown version " + std::to_string(body.version()));
  }
  ImageEntry image;
  image.name = body.name();
  image.platform = GetPlatform(body.platform());
  ASSIGN_OR_RETURN(image.chain_id, ToDigest(body.chain_id()));
  image.manifest_digest = body.manifest_digest();
  image.compressed_bytes = body.compressed_bytes();
  image.unpacked_bytes = body.unpacked_bytes();
  image.published_unix_seconds = body.published_unix_seconds();
  image.config_json = body.config_json();
  image.manifest_json = body.manifest_json();
  return image;
}

std::string EncodeBody(const Manifest& manifest) {
  store::v1::ManifestBody body;
  body.set_version(kManifestVersion);
  body.set_chain_id(ToBytes(manifest.chain_id));
  SetPlatform(manifest.platform, body.mutable_platform());
  for (const ManifestLayer& layer : manifest.layers) {
    auto* added = body.add_layers();
    added->set_diff_id(ToBytes(layer.diff_id));
    added->set_record(ToBytes(layer.record));
  }
  return body.SerializeAsString();
}

std::string EncodeBody(const Grant& grant) {
  store::v1::GrantBody body;
  body.set_version(kManifestVersion);
  body.set_chain_id(ToBytes(grant.chain_id));
  body.set_repository(grant.repository);
  return body.SerializeAsString();
}

// Unsigned if `key` is null.
std::string Sign(std::string_view purpose, std::string body, const SigningKey* key) {
  Signed by;
  if (key != nullptr) by = {ToBytes(key->public_key().id()), key->Sign(purpose, body)};
  return Wrap(std::move(body), by);
}

std::string Context(const Digest& chain_id) { return "manifest of " + chain_id.ToString(); }

// A manifest of this chain, whoever signed it.
absl::StatusOr<Manifest> DecodeAny(std::string_view bytes, const Digest& chain_id,
                                   std::string* body, Signed* by) {
  if (bytes.size() > kMaxManifestBytes) return DataLoss("too large");
  ASSIGN_OR_RETURN(*body, Unwrap(bytes, by));
  ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(*body));
  std::vector<Digest> diff_ids;
  for (const ManifestLayer& layer : manifest.layers) diff_ids.push_back(layer.diff_id);
  if (manifest.chain_id != chain_id || ChainId(diff_ids) != chain_id) {
    return DataLoss("is of another chain");
  }
  // Protobuf has many encodings of one message, and keeps what it does not know; we accept one.
  if (Wrap(EncodeBody(manifest), *by) != bytes) return DataLoss("not in canonical form");
  return manifest;
}

absl::Status CheckSignature(std::string_view purpose, const std::string& body, const Signed& by,
                            const PublicKey* key) {
  if (key == nullptr) {
    const bool none = by.key_id.empty() && by.signature.empty();
    return none ? absl::OkStatus() : DataLoss("signed, but its name says unsigned");
  }
  if (by.key_id == ToBytes(key->id()) && key->Verifies(by.signature, purpose, body)) {
    return absl::OkStatus();
  }
  return FailedPrecondition("its signature is not that of the key " + key->id().ToHex());
}

}  // namespace

std::string EncodeManifest(const Manifest& manifest, const SigningKey* key) {
  return Sign(kManifestPurpose, EncodeBody(manifest), key);
}

std::vector<Digest> PrefixChains(const Manifest& manifest) {
  // Each from the one before: anybody may have written a manifest of thousands of layers.
  std::vector<Digest> chains;
  for (const ManifestLayer& layer : manifest.layers) {
    chains.push_back(chains.empty() ? layer.diff_id
                                    : ChainId(std::array{chains.back(), layer.diff_id}));
  }
  return chains;
}

std::string EncodeGrant(const Grant& grant, const SigningKey* key) {
  return Sign(kGrantPurpose, EncodeBody(grant), key);
}

absl::Status DecodeGrant(std::string_view bytes, const Grant& expected, const PublicKey* key) {
  const std::string context = "grant of " + expected.chain_id.ToString();
  if (bytes.size() > kMaxGrantBytes) return DataLoss(context + ": too large");
  Signed by;
  const auto body = Unwrap(bytes, &by);
  if (!body.ok()) return Annotate(body.status(), context);
  if (*body != EncodeBody(expected)) return DataLoss(context + ": grants something else");
  if (Wrap(*body, by) != bytes) return DataLoss(context + ": not in canonical form");
  return Annotate(CheckSignature(kGrantPurpose, *body, by, key), context);
}

absl::StatusOr<UnprovedGrant> DecodeUnprovedGrant(std::string_view bytes) {
  if (bytes.size() > kMaxGrantBytes) return DataLoss("grant: too large");
  Signed by;
  ASSIGN_OR_RETURN(const std::string encoded, Unwrap(bytes, &by));
  store::v1::GrantBody body;
  if (!body.ParseFromString(encoded) || body.version() != kManifestVersion) {
    return DataLoss("grant: damaged, or of an unknown version");
  }
  UnprovedGrant found;
  ASSIGN_OR_RETURN(found.grant.chain_id, ToDigest(body.chain_id()));
  found.grant.repository = body.repository();
  if (!by.key_id.empty()) {
    ASSIGN_OR_RETURN(found.key_id, ToDigest(by.key_id));
  }
  const bool complete = by.signature.size() == (by.key_id.empty() ? 0 : kSignatureBytes);
  if (!complete || Wrap(EncodeBody(found.grant), by) != bytes) {
    return DataLoss("grant: not in canonical form");
  }
  return found;
}

absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes, const Digest& chain_id,
                                        const PublicKey* key) {
  std::string body;
  Signed by;
  auto manifest = DecodeAny(bytes, chain_id, &body, &by);
  absl::Status status = manifest.status();
  if (status.ok()) status = CheckSignature(kManifestPurpose, body, by, key);
  if (!status.ok()) return Annotate(status, Context(chain_id));
  return manifest;
}

absl::StatusOr<Manifest> DecodeManifestOfUnknownKey(std::string_view bytes, const Digest& chain_id,
                                                    const Digest& key_id) {
  std::string body;
  Signed by;
  auto manifest = DecodeAny(bytes, chain_id, &body, &by);
  absl::Status status = manifest.status();
  if (status.ok() && (by.key_id != ToBytes(key_id) || by.signature.size() != kSignatureBytes)) {
    status = DataLoss("is not signed by the key of its name");
  }
  if (!status.ok()) return Annotate(status, Context(chain_id));
  return manifest;
}

std::string EncodeImageEntry(const ImageEntry& image) {
  store::v1::Image body;
  body.set_version(image.manifest_json.empty() ? kManifestVersion : kImageVersion);
  body.set_name(image.name);
  SetPlatform(image.platform, body.mutable_platform());
  body.set_chain_id(ToBytes(image.chain_id));
  body.set_manifest_digest(image.manifest_digest);
  body.set_compressed_bytes(image.compressed_bytes);
  body.set_unpacked_bytes(image.unpacked_bytes);
  body.set_published_unix_seconds(image.published_unix_seconds);
  body.set_config_json(image.config_json);
  body.set_manifest_json(image.manifest_json);
  return Wrap(body.SerializeAsString(), {});
}

absl::StatusOr<ImageEntry> DecodeImageEntry(std::string_view bytes) {
  if (bytes.size() > kMaxImageEntryBytes) return DataLoss("image entry: too large");
  auto image = ParseImageEntry(bytes);
  if (!image.ok()) return Annotate(image.status(), "image entry");
  if (EncodeImageEntry(*image) != bytes) return DataLoss("image entry: not in canonical form");
  return image;
}

}  // namespace slacker
