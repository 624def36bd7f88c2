// Repeated requests to one repository of a registry and its mirrors.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/image_reference.h"
#include "backend/base/mutex.h"
#include "backend/registry/http_client.h"
#include "backend/registry/registry_endpoint.h"
#include "backend/registry/registry_options.h"

namespace slacker {

// Thread-safe; must outlive its responses.
class RegistryClient {
 public:
  // `anonymous`: nothing that tells who we are is ever sent. Does not connect. Errors: those of
  // LoadRegistryHosts and HttpClient::Open.
  static absl::StatusOr<std::unique_ptr<RegistryClient>> Open(const ImageReference& reference,
                                                              const RegistryOptions& options,
                                                              bool anonymous = false);

  enum class Purpose { kResolve, kPull };  // of a tag; of what has a digest

  // GET <API>/<repository>/<path> of the first host that answers with status 200 or 206; the hosts
  // are asked in their order, and all of them again, after a delay, while the last one fails for a
  // passing reason. The error is the last host's; its message names the others'. Blocks for at most
  // max_tries × (hosts × the time-outs + the delay).
  absl::StatusOr<std::unique_ptr<HttpResponse>> Get(Purpose purpose, const std::string& path,
                                                    const std::vector<std::string>& headers);

  // Ends requests, answers and the waits between repetitions; all fail from now on.
  void Cancel();

  // Whether credentials were sent: what was answered may not be for everybody.
  bool used_credentials() const;

  const ImageReference& reference() const { return reference_; }
  const RegistryOptions& options() const { return options_; }

 private:
  RegistryClient(ImageReference reference, const RegistryOptions& options)
      : reference_(std::move(reference)), options_(options) {}

  // Every host once.
  absl::StatusOr<std::unique_ptr<HttpResponse>> GetOnce(Purpose purpose, const std::string& path,
                                                        const std::vector<std::string>& headers);
  // CANCELLED when Cancel was called.
  absl::Status Wait(std::chrono::milliseconds delay);

  const ImageReference reference_;
  const RegistryOptions options_;
  std::vector<std::unique_ptr<RegistryEndpoint>> endpoints_;  // fixed after Open
  Mutex mutex_;
  CondVar changed_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace slacker
