// Authenticated, repeated requests to one repository of a registry.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/publish/http_client.h"
#include "backend/publish/image_source.h"
#include "backend/base/image_reference.h"
#include "backend/publish/registry_auth.h"

namespace slacker {

// Thread-safe; must outlive its responses.
class RegistryClient {
 public:
  RegistryClient(ImageReference reference, const SourceOptions& options);

  // GET /v2/<repository>/<path>, with the answer's status 200 or 206. Blocks for at most
  // max_tries × (the time-outs + delays).
  absl::StatusOr<std::unique_ptr<HttpResponse>> Get(const std::string& path,
                                                    const std::vector<std::string>& headers);

  // Ends waits between repetitions; requests that would be repeated fail from now on.
  void Cancel();

  // Whether credentials were sent: what was answered may not be for everybody.
  bool used_credentials() const {
    MutexLock lock(&mutex_);
    return used_credentials_;
  }

  const ImageReference& reference() const { return reference_; }
  const SourceOptions& options() const { return options_; }

 private:
  // CANCELLED when Cancel was called.
  absl::Status Wait(std::chrono::milliseconds delay);
  absl::StatusOr<std::unique_ptr<HttpResponse>> GetOnce(const std::string& url,
                                                        std::vector<std::string> headers);
  // Makes authorization_ answer the challenge of a 401.
  absl::Status Authenticate(const std::string& challenge_header);
  absl::StatusOr<std::string> FetchToken(const AuthChallenge& challenge,
                                         const std::optional<std::string>& credentials);

  const ImageReference reference_;
  const SourceOptions options_;
  HttpClient http_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool used_credentials_ ABSL_GUARDED_BY(mutex_) = false;
  std::string authorization_ ABSL_GUARDED_BY(mutex_);  // a whole header line, or empty
};

}  // namespace slacker
