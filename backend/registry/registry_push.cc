#include "backend/registry/registry_push.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/registry/http_url.h"
#include "backend/registry/registry_hosts.h"
#include "backend/registry/retry.h"

namespace slacker {
namespace {

constexpr int kOk = 200;
constexpr int kCreated = 201;
constexpr int kAccepted = 202;
constexpr int kNoContent = 204;
constexpr int kNotFound = 404;
constexpr int kTooLarge = 413;
constexpr int kNoSuchRange = 416;
constexpr char kOctets[] = "Content-Type: application/octet-stream";

absl::Status Expect(HttpResponse& response, int status, const std::string& url) {
  if (response.status() == status) return absl::OkStatus();
  const absl::Status refused = StatusOfAnswer(response, url);
  // To whoever pushes, "not there" means that the registry does not want it.
  return absl::IsNotFound(refused) ? PermissionDenied(Message(refused)) : refused;
}

std::string WithQuery(const std::string& url, const std::string& query) {
  return url + (url.find('?') == std::string::npos ? '?' : '&') + query;
}

// How many bytes a header "Range: 0-LAST" speaks of, as registries tell how far an upload is. There
// is no way to say "none" but "0-0": a first byte alone does not count.
std::optional<uint64_t> ParseRange(std::string_view text) {
  if (text.starts_with("bytes=")) text.remove_prefix(6);
  if (!text.starts_with("0-")) return std::nullopt;
  text.remove_prefix(2);
  uint64_t last = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), last);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (last == UINT64_MAX) return std::nullopt;
  return last == 0 ? 0 : last + 1;
}

// Bytes [offset, offset + size) of `whole`.
HttpBody PartOf(const HttpBody& whole, uint64_t offset, uint64_t size) {
  return {size, [&whole, offset, size](uint64_t at) -> absl::StatusOr<std::string> {
            ASSIGN_OR_RETURN(std::string bytes, whole.read(offset + at));
            if (bytes.size() > size - at) bytes.resize(static_cast<size_t>(size - at));
            return bytes;
          }};
}

}  // namespace

absl::StatusOr<std::unique_ptr<RegistryPush>> RegistryPush::Open(const ImageReference& reference,
                                                                 const std::string& mount_from,
                                                                 const RegistryOptions& options) {
  if (!reference.digest.empty()) return InvalidArgument("push to a tag, not to a digest");
  ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts,
                   LoadRegistryHosts(options.hosts_directory, reference.host));
  for (const RegistryHost& host : hosts) {
    if (host.proxy) continue;
    ASSIGN_OR_RETURN(auto endpoint,
                     RegistryEndpoint::Open(host, reference, options, /*anonymous=*/false));
    return std::unique_ptr<RegistryPush>(
        new RegistryPush(reference, mount_from, options, std::move(endpoint)));
  }
  return InvalidArgument("hosts.toml names mirrors of " + reference.host + " only");
}

absl::Status RegistryPush::Repeated(const std::function<absl::Status()>& once) {
  RetrySchedule schedule(options_);
  for (;;) {
    const absl::Status status = once();
    if (status.ok()) return status;
    std::chrono::milliseconds delay{0};
    RETURN_IF_ERROR(schedule.Next(status, &delay));
    Wait(delay);
  }
}

void RegistryPush::Wait(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  MutexLock lock(&mutex_);
  for (auto left = std::chrono::steady_clock::duration(time); left > left.zero();
       left = until - std::chrono::steady_clock::now()) {
    (void)never_.WaitFor(&mutex_, left);  // the loop looks at the clock itself
  }
}

absl::Status RegistryPush::PutBlob(const Descriptor& blob, const HttpBody& content) {
  const bool divisible = content.size_bytes > options_.upload_piece_bytes;
  bool in_pieces = false;
  return Repeated([&]() -> absl::Status {
    if (!in_pieces) {
      bool too_large = false;
      const absl::Status status = PutWhole(blob, content, &too_large);
      in_pieces = divisible && (too_large || IsPassing(status));
      if (!too_large || !in_pieces) return status;
    }
    return PutInPieces(blob, content);
  });
}

absl::StatusOr<RegistryPush::Upload> RegistryPush::Begin(const Descriptor& blob) {
  const std::string digest = blob.digest.ToString();
  const std::string known = endpoint_->UrlOf("blobs/" + digest);
  ASSIGN_OR_RETURN(auto answer, endpoint_->Call({.url = known, .method = "HEAD"}));
  if (answer->status() == kOk) return Upload{};
  if (answer->status() != kNotFound) RETURN_IF_ERROR(Expect(*answer, kOk, known));
  const std::string uploads = endpoint_->UrlOf("blobs/uploads/");
  if (!mount_from_.empty()) {
    const std::string mount = WithQuery(uploads, "mount=" + digest + "&from=" + mount_from_);
    auto mounted = endpoint_->Call({.url = mount, .method = "POST"});
    if (mounted.ok() && (*mounted)->status() == kCreated) return Upload{};
    if (mounted.ok() && (*mounted)->status() == kAccepted) {
      ASSIGN_OR_RETURN(std::string url, UploadUrl(**mounted, mount));
      return Upload{std::move(url)};
    }
    // Whatever keeps us from it: we have the blob.
  }
  ASSIGN_OR_RETURN(answer, endpoint_->Call({.url = uploads, .method = "POST"}));
  RETURN_IF_ERROR(Expect(*answer, kAccepted, uploads));
  ASSIGN_OR_RETURN(std::string url, UploadUrl(*answer, uploads));
  return Upload{std::move(url)};
}

// Where the registry wants what comes next.
absl::StatusOr<std::string> RegistryPush::UploadUrl(HttpResponse& answer,
                                                    const std::string& asked) {
  ASSIGN_OR_RETURN(std::string url, ResolveLocation(asked, answer.Header("location")));
  if (asked.starts_with("https://") && !url.starts_with("https://")) {
    return PermissionDenied(asked + ": the upload would go over an unencrypted connection");
  }
  return url;
}

absl::Status RegistryPush::PutWhole(const Descriptor& blob, const HttpBody& content,
                                    bool* too_large) {
  ASSIGN_OR_RETURN(const Upload upload, Begin(blob));
  if (upload.url.empty()) return absl::OkStatus();
  HttpRequest request{.url = WithQuery(upload.url, "digest=" + blob.digest.ToString()),
                      .headers = {kOctets}};
  request.method = "PUT";
  request.body = content;
  ASSIGN_OR_RETURN(const auto answer, endpoint_->Call(std::move(request)));
  *too_large = answer->status() == kTooLarge;
  return Expect(*answer, kCreated, upload.url);
}

absl::Status RegistryPush::PutInPieces(const Descriptor& blob, const HttpBody& content) {
  ASSIGN_OR_RETURN(Upload upload, Begin(blob));
  if (upload.url.empty()) return absl::OkStatus();
  std::optional<RetrySchedule> schedule;  // of failures since it last had more than ever before
  uint64_t most = 0;
  while (upload.offset < content.size_bytes) {
    const absl::Status status = PutPiece(content, &upload);
    if (status.ok()) {
      // A registry may take piece after piece and go back each time.
      if (upload.offset > most) schedule.reset();
      most = std::max(most, upload.offset);
      continue;
    }
    if (!schedule.has_value()) schedule.emplace(options_);
    std::chrono::milliseconds delay{0};
    RETURN_IF_ERROR(schedule->Next(status, &delay));
    Wait(delay);
    // A registry that cannot be asked now is asked after the next failure.
    if (const auto asked = AskForOffset(&upload); !asked.ok() && !IsPassing(asked)) return asked;
  }
  return Finish(upload, blob, content);
}

absl::Status RegistryPush::PutPiece(const HttpBody& content, Upload* upload) {
  const uint64_t size = std::min(options_.upload_piece_bytes, content.size_bytes - upload->offset);
  const uint64_t end = upload->offset + size;
  HttpRequest request{.url = upload->url,
                      .headers = {kOctets, "Content-Range: " + std::to_string(upload->offset) +
                                               "-" + std::to_string(end - 1)}};
  request.method = "PATCH";
  request.body = PartOf(content, upload->offset, size);
  ASSIGN_OR_RETURN(const auto answer, endpoint_->Call(std::move(request)));
  // It has another part than we believe, of an attempt whose answer was lost; or it has forgotten the
  // upload, and another has to be begun.
  if (answer->status() == kNoSuchRange || answer->status() == kNotFound) {
    return Unavailable(upload->url + ": out of step");
  }
  RETURN_IF_ERROR(Expect(*answer, kAccepted, upload->url));
  ASSIGN_OR_RETURN(upload->url, UploadUrl(*answer, upload->url));
  upload->offset = end;
  return absl::OkStatus();
}

absl::Status RegistryPush::AskForOffset(Upload* upload) {
  ASSIGN_OR_RETURN(const auto answer, endpoint_->Call({.url = upload->url}));
  if (answer->status() == kNotFound) return Unavailable(upload->url + ": the upload is gone");
  RETURN_IF_ERROR(Expect(*answer, kNoContent, upload->url));
  const std::optional<uint64_t> offset = ParseRange(answer->Header("range"));
  if (!offset.has_value()) return Internal(upload->url + ": a bad range");
  if (!answer->Header("location").empty()) {
    ASSIGN_OR_RETURN(upload->url, UploadUrl(*answer, upload->url));
  }
  upload->offset = *offset;
  return absl::OkStatus();
}

absl::Status RegistryPush::Finish(const Upload& upload, const Descriptor& blob,
                                  const HttpBody& content) {
  if (upload.offset != content.size_bytes) {
    return Internal(upload.url + ": the registry has more than was sent");
  }
  const std::string url = WithQuery(upload.url, "digest=" + blob.digest.ToString());
  ASSIGN_OR_RETURN(const auto answer, endpoint_->Call({.url = url, .method = "PUT"}));
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
