// Puts the parts of an image into a repository of a registry (the OCI distribution API).
#pragma once

#include <chrono>
#include <cstdint>
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
// are repeated options.max_tries times in all, after delays that double, or as the registry asks to wait. A blob is sent in one
// piece, as every registry takes it; a large one that did not get through, because the connection
// broke or something on the way takes no bodies of its size (413), is sent in pieces, and goes on after
// the last byte that the registry has.
// Errors: PERMISSION_DENIED (credentials), UNAVAILABLE and DEADLINE_EXCEEDED (after the last try),
// INTERNAL (another refusal, with the registry's words). Blocks. One thread.
class RegistryPush {
 public:
  // Does not connect. `mount_from`: another repository of this registry ("team/app") that may have
  // some of the blobs; empty: none is known. INVALID_ARGUMENT: hosts.toml, certificates, or a
  // reference with a digest.
  static absl::StatusOr<std::unique_ptr<RegistryPush>> Open(const ImageReference& reference,
                                                            const std::string& mount_from,
                                                            const RegistryOptions& options);

  // Asks whether the blob is there, or can be had from the other repository, else uploads it.
  absl::Status PutBlob(const Descriptor& blob, const HttpBody& content);
  // Under the reference's tag.
  absl::Status PutManifest(const Descriptor& manifest, std::string_view content);

 private:
  // An upload that was begun; without a URL there is none: the registry has the blob.
  struct Upload {
    std::string url;
    uint64_t offset = 0;  // what the registry has of it
  };

  RegistryPush(ImageReference reference, std::string mount_from, const RegistryOptions& options,
               std::unique_ptr<RegistryEndpoint> endpoint)
      : reference_(std::move(reference)),
        mount_from_(std::move(mount_from)),
        options_(options),
        endpoint_(std::move(endpoint)) {}

  absl::Status Repeated(const std::function<absl::Status()>& once);
  void Wait(std::chrono::milliseconds time);
  absl::StatusOr<Upload> Begin(const Descriptor& blob);
  absl::StatusOr<std::string> UploadUrl(HttpResponse& answer, const std::string& asked);
  absl::Status PutWhole(const Descriptor& blob, const HttpBody& content, bool* too_large);
  absl::Status PutInPieces(const Descriptor& blob, const HttpBody& content);
  absl::Status PutPiece(const HttpBody& content, Upload* upload);
  absl::Status AskForOffset(Upload* upload);
  absl::Status Finish(const Upload& upload, const Descriptor& blob, const HttpBody& content);

  const ImageReference reference_;
  const std::string mount_from_;
  const RegistryOptions options_;
  const std::unique_ptr<RegistryEndpoint> endpoint_;
  Mutex mutex_;
  CondVar never_;  // nobody signals: only a way to let time pass
};

}  // namespace slacker
