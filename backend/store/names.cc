#include "backend/store/names.h"

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kIndexSuffix = ".idx";
constexpr size_t kHexDigits = 64;

}  // namespace

std::string RecordName(const Digest& record) { return "records/" + record.ToHex(); }
std::string TarName(const Digest& record) { return "tars/" + record.ToHex(); }
std::string LocationsName(const Digest& record) { return "locations/" + record.ToHex(); }
std::string ManifestName(const Digest& chain_id) {
  return "manifests/" + chain_id.ToHex() + "/unsigned";
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

absl::StatusOr<Digest> ParsePackIndexName(std::string_view name) {
  if (name.size() != kPacksPrefix.size() + kHexDigits + kIndexSuffix.size() ||
      name.substr(0, kPacksPrefix.size()) != kPacksPrefix ||
      name.substr(kPacksPrefix.size() + kHexDigits) != kIndexSuffix) {
    return InvalidArgument("not a pack index: " + std::string(name));
  }
  return Digest::FromHex(name.substr(kPacksPrefix.size(), kHexDigits));
}

}  // namespace slacker
