#include "backend/store/names.h"

#include <algorithm>

#include "backend/base/codec.h"
#include "backend/base/random.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kIndexSuffix = ".idx";
constexpr size_t kHexDigits = 64;
constexpr size_t kIdDigits = 32;
constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kUnsigned = "unsigned";
constexpr std::string_view kPublic = "public";

std::string KeyPart(const std::optional<Digest>& key_id) {
  return key_id.has_value() ? key_id->ToHex() : std::string(kUnsigned);
}

std::string Flat(std::string_view prefix, std::string_view name) {
  std::string flat(name);
  std::replace(flat.begin(), flat.end(), '/', '_');
  return std::string(prefix) + flat;
}

std::string Whom(const std::string& repository) {
  return repository.empty() ? std::string(kPublic) : Sha256::Of(repository).ToHex();
}

}  // namespace

std::string RecordName(const Digest& record) {
  return std::string(kRecordsPrefix) + record.ToHex();
}
std::string TarName(const Digest& record) { return std::string(kTarsPrefix) + record.ToHex(); }
std::string LocationsName(const Digest& record) {
  return std::string(kLocationsPrefix) + record.ToHex();
}
std::string HeadName(const Digest& record, const Digest& blob) {
  return std::string(kHeadsPrefix) + record.ToHex() + "/" + blob.ToHex();
}
std::string BootPackName(const Digest& chain_id) {
  return std::string(kBootPrefix) + chain_id.ToHex();
}
std::string ManifestName(const Digest& chain_id, const std::optional<Digest>& key_id) {
  return std::string(kManifestsPrefix) + chain_id.ToHex() + "/" + KeyPart(key_id);
}
std::string GrantName(const Grant& grant, const std::optional<Digest>& key_id) {
  return std::string(kGrantsPrefix) + grant.chain_id.ToHex() + "/" + Whom(grant.repository) + "/" +
         KeyPart(key_id);
}
std::string LayerChainsPrefix(const Digest& diff_id, const std::string& repository) {
  return std::string(kLayersPrefix) + diff_id.ToHex() + "/" + Whom(repository) + "/";
}
std::string LayerChainName(const Digest& diff_id, const Grant& grant) {
  return LayerChainsPrefix(diff_id, grant.repository) + grant.chain_id.ToHex();
}
std::string PackName(const Digest& pack) { return std::string(kPacksPrefix) + pack.ToHex(); }
std::string PackIndexName(const Digest& pack) { return PackName(pack) + std::string(kIndexSuffix); }

std::string ImageName(std::string_view name, const Platform& platform) {
  std::string identity;
  Encoder out(&identity);
  out.Bytes(name);
  out.Bytes(platform.os);
  out.Bytes(platform.architecture);
  out.Bytes(platform.variant);
  return std::string(kImagesPrefix) + Sha256::Of(identity).ToHex();
}

absl::StatusOr<ParsedManifestName> ParseManifestName(std::string_view name) {
  const absl::Status bad = InvalidArgument("not a manifest: " + std::string(name));
  if (!name.starts_with(kManifestsPrefix)) return bad;
  const std::string_view rest = name.substr(kManifestsPrefix.size());
  if (rest.size() <= kHexDigits || rest[kHexDigits] != '/') return bad;
  const auto chain = Digest::FromHex(rest.substr(0, kHexDigits));
  const std::string_view key_text = rest.substr(kHexDigits + 1);
  if (!chain.ok()) return bad;
  if (key_text == kUnsigned) return ParsedManifestName{*chain, std::nullopt};
  const auto key = Digest::FromHex(key_text);
  if (!key.ok()) return bad;
  return ParsedManifestName{*chain, *key};
}

absl::StatusOr<ParsedLayerChainName> ParseLayerChainName(std::string_view name) {
  const absl::Status bad = InvalidArgument("not a layer's chain: " + std::string(name));
  if (!name.starts_with(kLayersPrefix)) return bad;
  const std::string_view rest = name.substr(kLayersPrefix.size());
  const size_t second = rest.find('/');
  const size_t third = second == rest.npos ? rest.npos : rest.find('/', second + 1);
  if (third == rest.npos) return bad;
  const auto diff_id = Digest::FromHex(rest.substr(0, second));
  const std::string_view whom = rest.substr(second + 1, third - second - 1);
  const auto chain = Digest::FromHex(rest.substr(third + 1));
  if (!diff_id.ok() || !chain.ok()) return bad;
  if (whom != kPublic && !Digest::FromHex(whom).ok()) return bad;
  return ParsedLayerChainName{*diff_id, *chain};
}

absl::StatusOr<Digest> ParseDigestName(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) {
    return InvalidArgument("not below " + std::string(prefix) + ": " + std::string(name));
  }
  return Digest::FromHex(name.substr(prefix.size()));
}

absl::StatusOr<Digest> ParsePackName(std::string_view name) {
  return ParseDigestName(name, kPacksPrefix);
}
absl::StatusOr<Digest> ParseIndexName(std::string_view name) {
  return ParseDigestName(name, kIndexesPrefix);
}
std::string IndexName(const Digest& id) { return std::string(kIndexesPrefix) + id.ToHex(); }
std::string TrashName(std::string_view condemned) { return Flat(kTrashPrefix, condemned); }
std::string QuarantineName(std::string_view name) {
  return std::string(kQuarantinePrefix) + std::string(name);
}
std::string ClaimName(std::string_view condemned, std::string_view run) {
  return TrashName(condemned) + "." + std::string(run);
}
std::string RemovedName(std::string_view name, std::string_view id) {
  return Flat(kRemovedPrefix, name) + "." + std::string(id);
}

std::string NewMaintenanceId(int64_t now_unix_seconds) {
  std::string id(kIdDigits / 2, '0');
  auto rest = static_cast<uint64_t>(now_unix_seconds);
  for (size_t i = id.size(); i-- > 0; rest >>= 4) id[i] = kHex[rest & 0xf];
  return id + RandomHex().substr(kIdDigits / 2);
}

int64_t TimeOfMaintenanceId(std::string_view id) {
  uint64_t time = 0;
  for (const char digit : id.substr(0, kIdDigits / 2)) time = time << 4 | kHex.find(digit);
  return static_cast<int64_t>(time);
}

FlatName ParseFlatName(std::string_view name) {
  std::string_view flat = name.substr(name.find('/') + 1);
  FlatName parsed;
  const size_t dot = flat.rfind('.');
  if (dot != flat.npos && flat.size() - dot - 1 == kIdDigits &&
      flat.find_first_not_of(kHex, dot + 1) == flat.npos) {
    parsed.id = flat.substr(dot + 1);
    flat = flat.substr(0, dot);
  }
  parsed.object = flat;
  std::replace(parsed.object.begin(), parsed.object.end(), '_', '/');
  return parsed;
}

absl::StatusOr<Digest> ParsePackIndexName(std::string_view name) {
  if (name.size() != kPacksPrefix.size() + kHexDigits + kIndexSuffix.size() ||
      name.substr(0, kPacksPrefix.size()) != kPacksPrefix ||
      name.substr(kPacksPrefix.size() + kHexDigits) != kIndexSuffix) {
    return InvalidArgument("not a pack index: " + std::string(name));
  }
  return Digest::FromHex(name.substr(kPacksPrefix.size(), kHexDigits));
}

}  // namespace slacker
