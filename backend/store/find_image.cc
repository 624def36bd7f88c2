#include "backend/store/find_image.h"

#include "backend/base/status.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"

namespace slacker {

namespace {

absl::StatusOr<ImageEntry> ReadEntry(ReadBackend& backend, std::string_view name,
                                     const Platform& platform) {
  const auto bytes = backend.ReadWhole(ImageName(name, platform), kMaxImageEntryBytes);
  if (absl::IsResourceExhausted(bytes.status())) return DataLoss(Message(bytes.status()));
  RETURN_IF_ERROR(bytes.status());
  return DecodeImageEntry(*bytes);
}

}  // namespace

absl::StatusOr<ImageEntry> FindImage(ReadBackend& backend, std::string_view name,
                                     const Platform& platform) {
  // Images for arm say their variant, nearly all of them; those for amd64 never do.
  Platform usual = platform;
  if (platform.variant.empty() && platform.architecture.starts_with("arm")) {
    usual.variant = DefaultVariant(platform.architecture);
  }
  auto found = ReadEntry(backend, name, usual);
  if (usual.variant == platform.variant || !absl::IsNotFound(found.status())) return found;
  return ReadEntry(backend, name, platform);
}

}  // namespace slacker
