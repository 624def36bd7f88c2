// One host of a registry: requests with whatever authentication it asks for.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/image_reference.h"
#include "backend/base/mutex.h"
#include "backend/registry/credentials.h"
#include "backend/registry/http_client.h"
#include "backend/registry/registry_auth.h"
#include "backend/registry/registry_hosts.h"
#include "backend/registry/registry_options.h"

namespace slacker {

// Credentials are looked for when the host asks for some: those of docker's files for it, whichever
// registry it is a mirror of. They are sent to it and, over https (or where the host itself is
// spoken to in the clear), to the token service that it names. Thread-safe; must outlive its
// responses.
class RegistryEndpoint {
 public:
  // `anonymous`: nothing that tells who we are is ever sent. Errors: those of HttpClient::Open.
  static absl::StatusOr<std::unique_ptr<RegistryEndpoint>> Open(const RegistryHost& host,
                                                                const ImageReference& reference,
                                                                const RegistryOptions& options,
                                                                bool anonymous);

  // The URL <API>/<repository>/<path>.
  std::string UrlOf(const std::string& path) const;
  // Any request; what tells who we are is added when its URL has the host's origin, and never sent
  // elsewhere. Any status but 401 is the caller's; 401 has become an error.
  // PERMISSION_DENIED: no credentials, or they are not accepted; else those of HttpClient::Send.
  absl::StatusOr<std::unique_ptr<HttpResponse>> Call(HttpRequest request);
  // GET <API>/<repository>/<path>. Any status but 401 is the caller's; 401 has become an error.
  // PERMISSION_DENIED: no credentials, or they are not accepted; else those of HttpClient::Send.
  absl::StatusOr<std::unique_ptr<HttpResponse>> Get(const std::string& path,
                                                    const std::vector<std::string>& headers);

  // As HttpClient's.
  void Cancel() { http_->Cancel(); }

  // Whether anything was sent that others do not have: what was answered may not be for everybody.
  bool used_credentials() const {
    MutexLock lock(&mutex_);
    return used_credentials_;
  }

  const RegistryHost& host() const { return host_; }

 private:
  RegistryEndpoint(RegistryHost host, ImageReference reference, const RegistryOptions& options,
                   std::unique_ptr<HttpClient> http);

  absl::StatusOr<std::unique_ptr<HttpResponse>> Send(HttpRequest request);
  // Makes authorization_ answer the challenge of a 401.
  absl::Status Authenticate(const std::string& challenge_header);
  absl::StatusOr<std::string> FetchToken(const AuthChallenge& challenge,
                                         const std::optional<RegistryCredentials>& credentials);

  const RegistryHost host_;
  const ImageReference reference_;
  const RegistryOptions options_;  // without credential files for an anonymous one
  const std::unique_ptr<HttpClient> http_;
  mutable Mutex mutex_;
  bool used_credentials_ ABSL_GUARDED_BY(mutex_);
  std::string authorization_ ABSL_GUARDED_BY(mutex_);  // a whole header line, or empty
};

// What an answer other than 200 and 206 means, with what the server says of it, fit for a terminal.
// 404: NOT_FOUND; 401, 403: PERMISSION_DENIED; 408, 429, 5xx: UNAVAILABLE; else INTERNAL.
// It remembers how long the answer asks to wait (retry.h).
absl::Status StatusOfAnswer(HttpResponse& response, std::string_view url);

}  // namespace slacker
