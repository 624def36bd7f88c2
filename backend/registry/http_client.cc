#include "backend/registry/http_client.h"

#include <curl/curl.h>

#include <fstream>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/registry/http_transfer.h"
#include "backend/registry/http_url.h"

namespace slacker {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxAuthorityBytes = 8'000'000;  // libcurl takes no more (CURL_MAX_INPUT_LENGTH)

absl::StatusOr<std::string> ReadPem(const std::string& path, std::string_view what) {
  constexpr std::streamsize kMaxPemBytes = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(kMaxPemBytes), '\0');
  if (!file) return InvalidArgument(std::string(what) + " " + path + " cannot be read");
  file.read(text.data(), kMaxPemBytes);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.find("-----BEGIN ") == std::string::npos) {
    return InvalidArgument(std::string(what) + " " + path + " is not PEM");
  }
  return text;
}

}  // namespace

HttpClient::HttpClient(const Options& options, std::string authorities)
    : options_(options),
      authorities_(std::move(authorities)),
      connections_(std::make_unique<HttpConnections>()) {}

HttpClient::~HttpClient() = default;

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Open(const Options& options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  SLACKER_CHECK(ready == CURLE_OK, "libcurl starts");
  std::string authorities;
  for (const std::string& path : options.tls.ca_files) {
    ASSIGN_OR_RETURN(const std::string pem, ReadPem(path, "the certificate authority"));
    authorities += pem + "\n";
  }
  if (authorities.size() > kMaxAuthorityBytes) {
    return InvalidArgument("the certificate authorities are larger than 8 MB together");
  }
  for (const std::string& path :
       {options.tls.client_certificate_file, options.tls.client_key_file}) {
    if (!path.empty()) RETURN_IF_ERROR(ReadPem(path, "the client certificate").status());
  }
  return std::unique_ptr<HttpClient>(new HttpClient(options, std::move(authorities)));
}

absl::StatusOr<std::unique_ptr<HttpResponse>> HttpClient::Send(const HttpRequest& request) {
  UrlOrigin first;
  ASSIGN_OR_RETURN(std::string url, ResolveUrl("", request.url, &first));
  UrlOrigin origin = first;
  for (int redirects = 0;; ++redirects) {
    auto transfer = std::make_unique<HttpTransfer>(
        HttpTransfer::Context{&options_, &authorities_, connections_.get(), &cancelled_}, url,
        origin, origin == first);
    RETURN_IF_ERROR(transfer->Start(request));
    const std::string location = transfer->Header("location");
    const int status = transfer->status();
    const bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    const bool reads =
        !request.form.has_value() && (request.method.empty() || request.method == "HEAD");
    if (!redirect || location.empty() || !reads) {
      return std::unique_ptr<HttpResponse>(std::move(transfer));
    }
    if (redirects == kMaxRedirects) return InvalidArgument(request.url + ": too many redirects");
    const bool secure = origin.scheme == "https";
    absl::StatusOr<std::string> next = ResolveUrl(url, location, &origin);
    if (!next.ok()) return Annotate(next.status(), request.url + ": redirect");
    if (secure && origin.scheme != "https") {
      return InvalidArgument(request.url + ": redirect from https to " + origin.host +
                             " without encryption");
    }
    url = *std::move(next);
  }
}

}  // namespace slacker
