#include "cmd/common/containerd_sink.h"

#include <map>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/oci_documents.h"

namespace slacker {
namespace {

class ContainerdSink final : public ImageSink {
 public:
  ContainerdSink(ContainerdClient* client, std::string name, const Digest& manifest)
      : client_(client), name_(std::move(name)), manifest_(manifest) {}

  absl::Status PutBlob(const Descriptor& blob, const Spool& content) override {
    const absl::Status there = client_->GetSize(blob.digest).status();
    if (!absl::IsNotFound(there)) return there;
    return client_->Write(blob.digest, content.size_bytes(),
                          [&content](uint64_t offset) { return content.Read(offset); });
  }

  absl::Status PutManifest(const Descriptor& manifest, std::string_view content) override {
    ASSIGN_OR_RETURN(const Spool spool, Spool::Of(content));
    RETURN_IF_ERROR(PutBlob(manifest, spool));
    // As containerd's own clients do after a pull. Without these the blobs go with the lease.
    ASSIGN_OR_RETURN(const OciManifest parsed, ParseManifest(content));
    std::map<std::string, std::string> labels = {
        {"containerd.io/gc.ref.content.config", parsed.config.digest.ToString()}};
    for (size_t i = 0; i < parsed.layers.size(); ++i) {
      labels["containerd.io/gc.ref.content.l." + std::to_string(i)] =
          parsed.layers[i].digest.ToString();
    }
    RETURN_IF_ERROR(client_->SetLabels(manifest.digest, labels));
    return manifest.digest == manifest_ ? absl::OkStatus() : SetTarget(manifest);
  }

 private:
  absl::Status SetTarget(const Descriptor& manifest) {
    containerd::services::images::v1::Descriptor target;
    target.set_media_type(manifest.media_type);
    target.set_digest(manifest.digest.ToString());
    target.set_size(static_cast<int64_t>(manifest.size_bytes));
    return client_->SetTarget(name_, target);
  }

  ContainerdClient* const client_;
  const std::string name_;
  const Digest manifest_;
};

}  // namespace

std::unique_ptr<ImageSink> NewContainerdSink(ContainerdClient* client, std::string name,
                                             const Digest& manifest) {
  return std::make_unique<ContainerdSink>(client, std::move(name), manifest);
}

}  // namespace slacker
