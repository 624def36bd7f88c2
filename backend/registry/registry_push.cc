#include "backend/registry/registry_push.h"

#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/registry/registry_hosts.h"

namespace slacker {
namespace {

constexpr int kOk = 200;
constexpr int kCreated = 201;
constexpr int kAccepted = 202;
constexpr int kNotFound = 404;

absl::Status Expect(HttpResponse& response, int status, const std::string& url) {
  if (response.status() == status) return absl::OkStatus();
  const absl::Status refused = StatusOfAnswer(response, url);
  // To whoever pushes, "not there" means that the registry does not want it.
  return absl::IsNotFound(refused) ? PermissionDenied(Message(refused)) : refused;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RegistryPush>> RegistryPush::Open(const ImageReference& reference,
                                                                 const RegistryOptions& options) {
  if (!reference.digest.empty()) return InvalidArgument("push to a tag, not to a digest");
  ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts,
                   LoadRegistryHosts(options.hosts_directory, reference.host));
  for (const RegistryHost& host : hosts) {
    if (host.proxy) continue;
    ASSIGN_OR_RETURN(auto endpoint,
                     RegistryEndpoint::Open(host, reference, options, /*anonymous=*/false));
    return std::unique_ptr<RegistryPush>(new RegistryPush(reference, options, std::move(endpoint)));
  }
  return InvalidArgument("hosts.toml names mirrors of " + reference.host + " only");
}

absl::Status RegistryPush::Repeated(const std::function<absl::Status()>& once) {
  std::chrono::milliseconds delay = options_.retry_delay;
  for (int attempt = 1;; ++attempt) {
    const absl::Status status = once();
    const bool passing = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    if (!passing || attempt >= options_.max_tries) return status;
    const auto until = std::chrono::steady_clock::now() + delay;
    MutexLock lock(&mutex_);
    for (auto left = std::chrono::steady_clock::duration(delay); left > left.zero();
         left = until - std::chrono::steady_clock::now()) {
      (void)never_.WaitFor(&mutex_, left);  // the loop looks at the clock itself
    }
    delay *= 2;
  }
}

absl::Status RegistryPush::PutBlob(const Descriptor& blob, const HttpBody& content) {
  return Repeated([&] { return PutBlobOnce(blob, content); });
}

absl::Status RegistryPush::PutBlobOnce(const Descriptor& blob, const HttpBody& content) {
  const std::string digest = blob.digest.ToString();
  const std::string known = endpoint_->UrlOf("blobs/" + digest);
  ASSIGN_OR_RETURN(auto answer, endpoint_->Call({.url = known, .method = "HEAD"}));
  if (answer->status() == kOk) return absl::OkStatus();
  if (answer->status() != kNotFound) return Expect(*answer, kOk, known);
  const std::string uploads = endpoint_->UrlOf("blobs/uploads/");
  ASSIGN_OR_RETURN(answer, endpoint_->Call({.url = uploads, .method = "POST"}));
  RETURN_IF_ERROR(Expect(*answer, kAccepted, uploads));
  ASSIGN_OR_RETURN(std::string url, ResolveLocation(uploads, answer->Header("location")));
  if (uploads.starts_with("https://") && !url.starts_with("https://")) {
    return PermissionDenied(uploads + ": the upload would go over an unencrypted connection");
  }
  url += (url.find('?') == std::string::npos ? "?digest=" : "&digest=") + digest;
  HttpRequest upload{.url = url, .headers = {"Content-Type: application/octet-stream"}};
  upload.method = "PUT";
  upload.body = content;
  ASSIGN_OR_RETURN(answer, endpoint_->Call(std::move(upload)));
  return Expect(*answer, kCreated, url);
}

absl::Status RegistryPush::PutManifest(const Descriptor& manifest, std::string_view content) {
  const std::string url = endpoint_->UrlOf("manifests/" + reference_.tag);
  return Repeated([&]() -> absl::Status {
    HttpRequest request{.url = url, .headers = {"Content-Type: " + manifest.media_type}};
    request.method = "PUT";
    request.body = HttpBody{content.size(), [&content](uint64_t offset) {
                              return std::string(content.substr(static_cast<size_t>(offset)));
                            }};
    ASSIGN_OR_RETURN(const auto answer, endpoint_->Call(std::move(request)));
    return Expect(*answer, kCreated, url);
  });
}

}  // namespace slacker
