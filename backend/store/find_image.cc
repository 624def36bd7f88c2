#include "backend/store/find_image.h"

#include "backend/base/status.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"

namespace slacker {

absl::StatusOr<ImageEntry> FindImage(ReadBackend& backend, std::string_view name,
                                     const Platform& platform) {
  const auto bytes = backend.ReadWhole(ImageName(name, platform), kMaxImageEntryBytes);
  if (absl::IsResourceExhausted(bytes.status())) return DataLoss(Message(bytes.status()));
  RETURN_IF_ERROR(bytes.status());
  return DecodeImageEntry(*bytes);
}

}  // namespace slacker
