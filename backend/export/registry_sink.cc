#include <utility>

#include "backend/base/status.h"
#include "backend/export/image_sink.h"
#include "backend/registry/registry_push.h"

namespace slacker {
namespace {

class RegistrySink final : public ImageSink {
 public:
  explicit RegistrySink(std::unique_ptr<RegistryPush> push) : push_(std::move(push)) {}

  absl::Status PutBlob(const Descriptor& blob, const Spool& content) override {
    return push_->PutBlob(
        blob, {content.size_bytes(), [&content](uint64_t offset) { return content.Read(offset); }});
  }
  absl::Status PutManifest(const Descriptor& manifest, std::string_view content) override {
    return push_->PutManifest(manifest, content);
  }

 private:
  const std::unique_ptr<RegistryPush> push_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSink>> OpenRegistrySink(
    const ImageReference& reference, const std::optional<ImageReference>& origin,
    const RegistryOptions& options) {
  std::string mount_from;
  if (origin.has_value() && origin->host == reference.host &&
      origin->repository != reference.repository) {
    mount_from = origin->repository;
  }
  ASSIGN_OR_RETURN(auto push, RegistryPush::Open(reference, mount_from, options));
  return std::unique_ptr<ImageSink>(std::make_unique<RegistrySink>(std::move(push)));
}

}  // namespace slacker
