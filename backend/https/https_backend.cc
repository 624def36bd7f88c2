#include "backend/https/https_backend.h"

#include <fcntl.h>

#include <cerrno>
#include <future>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

// Beyond this no object can reach, and servers' arithmetic need not be tried.
constexpr uint64_t kMaxOffset = uint64_t{1} << 62;

bool IsImmutable(std::string_view name) {
  return name.starts_with("records/") || name.starts_with("tars/") || name.starts_with("packs/");
}

absl::Status CheckReadable(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd.valid() ? absl::OkStatus() : ErrnoError(errno, "open " + path);
}

}  // namespace

absl::Status HttpsBackend::CheckUrl(std::string_view url) { return https::ParseUrl(url).status(); }

absl::StatusOr<std::unique_ptr<HttpsBackend>> HttpsBackend::Open(std::string_view url,
                                                                 HttpsOptions options) {
  ASSIGN_OR_RETURN(https::Url parsed, https::ParseUrl(url));
  if (options.client_certificate.empty() != options.client_key.empty()) {
    return InvalidArgument("a client certificate and its key are of use only together");
  }
  for (const std::string* path :
       {&options.ca_file, &options.client_certificate, &options.client_key, &options.token_file}) {
    RETURN_IF_ERROR(CheckReadable(*path));
  }
  ASSIGN_OR_RETURN(auto loop, https::TransferLoop::Start(std::move(options)));
  return std::unique_ptr<HttpsBackend>(new HttpsBackend(std::move(parsed), std::move(loop)));
}

HttpsBackend::HttpsBackend(https::Url url, std::unique_ptr<https::TransferLoop> loop)
    : url_(std::move(url)), loop_(std::move(loop)) {}

https::Request HttpsBackend::MakeRequest(std::string_view name) const {
  https::Request request;
  request.url = url_.ToString() + "/" + std::string(name);
  request.revalidate = !IsImmutable(name);
  return request;
}

void HttpsBackend::ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                             ReadCallback done) {
  https::Request request = MakeRequest(name);
  request.done = [done = std::move(done)](absl::StatusOr<https::Reply> reply) {
    if (reply.ok()) {
      done(std::move(reply->bytes));
    } else {
      done(reply.status());
    }
  };
  if (const absl::Status valid = ValidateRead(name, size); !valid.ok()) {
    loop_->Reject(request, valid);
    return;
  }
  // Nothing is to be read there, but whether there is an object is to be said.
  if (offset < kMaxOffset) {
    request.offset = offset;
    request.size = size;
  }
  loop_->Add(std::move(request));
}

absl::StatusOr<ObjectInfo> HttpsBackend::Stat(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  std::promise<absl::StatusOr<https::Reply>> promise;
  auto future = promise.get_future();
  https::Request request = MakeRequest(name);
  request.done = [&promise](absl::StatusOr<https::Reply> reply) {
    promise.set_value(std::move(reply));
  };
  loop_->Add(std::move(request));
  ASSIGN_OR_RETURN(const https::Reply reply, future.get());
  return reply.info;
}

}  // namespace slacker
