// Puts the parts of an image into a repository of a registry (the OCI distribution API).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/image_reference.h"
#include "backend/base/mutex.h"
#include "backend/registry/http_client.h"
#include "backend/registry/registry_endpoint.h"
#include "backend/registry/registry_options.h"
#include "backend/source/oci_documents.h"

namespace slacker {

// The registry itself is asked, never one of its mirrors. Requests that fail for a passing reason
// are repeated options.max_tries times in all, a blob from its beginning, after delays that double.
// Errors: PERMISSION_DENIED (credentials), UNAVAILABLE and DEADLINE_EXCEEDED (after the last try),
// INTERNAL (another refusal, with the registry's words). Blocks. One thread.
class RegistryPush {
 public:
  // Does not connect. INVALID_ARGUMENT: hosts.toml, certificates, or a reference with a digest.
  static absl::StatusOr<std::unique_ptr<RegistryPush>> Open(const ImageReference& reference,
                                                            const RegistryOptions& options);

  // Asks whether the blob is there, else uploads it in one piece.
  absl::Status PutBlob(const Descriptor& blob, const HttpBody& content);
  // Under the reference's tag.
  absl::Status PutManifest(const Descriptor& manifest, std::string_view content);

 private:
  RegistryPush(ImageReference reference, const RegistryOptions& options,
               std::unique_ptr<RegistryEndpoint> endpoint)
      : reference_(std::move(reference)), options_(options), endpoint_(std::move(endpoint)) {}

  absl::Status Repeated(const std::function<absl::Status()>& once);
  absl::Status PutBlobOnce(const Descriptor& blob, const HttpBody& content);

  const ImageReference reference_;
  const RegistryOptions options_;
  const std::unique_ptr<RegistryEndpoint> endpoint_;
  Mutex mutex_;
  CondVar never_;  // nobody signals: only a way to let time pass
};

}  // namespace slacker
