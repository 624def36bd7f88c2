#include "backend/registry/registry_endpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "backend/base/status.h"
#include "backend/registry/http_url.h"
#include "backend/registry/retry.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxErrorBytes = 16 << 10;
constexpr uint64_t kMaxTokenAnswerBytes = 256 << 10;

// The registry's own words: errors[0].message, or a token service's.
std::string ErrorText(HttpResponse& response) {
  const absl::StatusOr<std::string> body = ReadAll(response, kMaxErrorBytes);
  if (!body.ok()) return "";
  const nlohmann::json json = nlohmann::json::parse(*body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return "";
  const nlohmann::json* place = &json;
  if (const auto errors = json.find("errors");
      errors != json.end() && errors->is_array() && !errors->empty()) {
    place = &errors->front();
  }
  for (const char* key : {"message", "details", "error_description"}) {
    if (!place->is_object() || !place->contains(key) || !place->at(key).is_string()) continue;
    std::string text = place->at(key).get<std::string>().substr(0, 200);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < ' ' || c == 0x7f; }, '?');
    return " (" + text + ")";
  }
  return "";
}

std::string Basic(const RegistryCredentials& credentials) {
  return "Authorization: Basic " +
         absl::Base64Escape(credentials.username + ":" + credentials.password);
}

std::string WithNamespace(std::string url, const RegistryHost& host,
                          const ImageReference& reference) {
  if (host.proxy) url += (url.find('?') == std::string::npos ? "?ns=" : "&ns=") + reference.host;
  return url;
}

absl::Status ErrorOfAnswer(HttpResponse& response, std::string_view url) {
  const int status = response.status();
  std::string message = std::string(url) + ": ";
  if (status == 404) return NotFound(message + "not there, HTTP status 404" + ErrorText(response));
  if (status == 401 || status == 403) {
    return PermissionDenied(message + "no permission, HTTP status " + std::to_string(status) +
                            ErrorText(response));
  }
  if (status == 429) {
    return Unavailable(message + "too many requests, HTTP status 429" + ErrorText(response));
  }
  message += "HTTP status " + std::to_string(status) + ErrorText(response);
  if (status == 408 || status >= 500) return Unavailable(message);
  return Internal(message);
}

}  // namespace

absl::Status StatusOfAnswer(HttpResponse& response, std::string_view url) {
  absl::Status error = ErrorOfAnswer(response, url);
  SetRetryAfter(response, &error);
  return error;
}

absl::StatusOr<std::unique_ptr<RegistryEndpoint>> RegistryEndpoint::Open(
    const RegistryHost& host, const ImageReference& reference, const RegistryOptions& options,
    bool anonymous) {
  RegistryHost known = host;
  RegistryOptions given = options;
  if (anonymous) {
    known.headers.clear();
    known.tls.client_certificate_file.clear();
    known.tls.client_key_file.clear();
    given.credential_files.clear();
  }
  ASSIGN_OR_RETURN(
      auto http,
      HttpClient::Open({.connect_timeout = known.connect_timeout.value_or(options.connect_timeout),
                        .stall_timeout = options.stall_timeout,
                        .tls = known.tls}));
  return std::unique_ptr<RegistryEndpoint>(
      new RegistryEndpoint(std::move(known), reference, given, std::move(http)));
}

RegistryEndpoint::RegistryEndpoint(RegistryHost host, ImageReference reference,
                                   const RegistryOptions& options, std::unique_ptr<HttpClient> http)
    : host_(std::move(host)),
      reference_(std::move(reference)),
      options_(options),
      http_(std::move(http)),
      used_credentials_(!host_.headers.empty() || !host_.tls.client_certificate_file.empty()) {}

std::string RegistryEndpoint::UrlOf(const std::string& path) const {
  return WithNamespace(host_.url + "/" + reference_.repository + "/" + path, host_, reference_);
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryEndpoint::Get(
    const std::string& path, const std::vector<std::string>& headers) {
  return Call({.url = UrlOf(path), .headers = headers});
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryEndpoint::Call(HttpRequest request) {
  if (!SameOrigin(request.url, host_.url)) {
    request.foreign = true;
    return http_->Send(request);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response, Send(request));
  if (response->status() != 401) return response;
  RETURN_IF_ERROR(Annotate(Authenticate(response->Header("www-authenticate")), request.url));
  ASSIGN_OR_RETURN(response, Send(request));
  if (response->status() != 401) return response;
  const absl::Status refused = StatusOfAnswer(*response, request.url);
  return Annotate(refused,
                  used_credentials()
                      ? "the credentials for " + host_.host + " are not accepted"
                      : "log in to " + host_.host + " with docker, nerdctl or podman first");
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryEndpoint::Send(HttpRequest request) {
  request.private_headers = host_.headers;
  {
    MutexLock lock(&mutex_);
    if (!authorization_.empty()) request.private_headers.push_back(authorization_);
  }
  return http_->Send(request);
}

absl::Status RegistryEndpoint::Authenticate(const std::string& challenge_header) {
  ASSIGN_OR_RETURN(const AuthChallenge challenge, ParseChallenge(challenge_header));
  const bool hub = host_.host == "registry-1.docker.io";
  ASSIGN_OR_RETURN(const auto credentials,
                   FindCredentials(options_.credential_files, hub ? "docker.io" : host_.host,
                                   reference_.repository, options_.helper_timeout));
  std::string authorization;
  if (challenge.scheme == AuthChallenge::Scheme::kBearer) {
    ASSIGN_OR_RETURN(const std::string token, FetchToken(challenge, credentials));
    authorization = "Authorization: Bearer " + token;
  } else if (credentials.has_value() && !credentials->username.empty()) {
    authorization = Basic(*credentials);
  } else {
    return PermissionDenied("the registry asks for a password: log in to " + host_.host +
                            " with docker, nerdctl or podman first");
  }
  MutexLock lock(&mutex_);
  authorization_ = std::move(authorization);
  used_credentials_ = used_credentials_ || credentials.has_value();
  return absl::OkStatus();
}

absl::StatusOr<std::string> RegistryEndpoint::FetchToken(
    const AuthChallenge& challenge, const std::optional<RegistryCredentials>& credentials) {
  if (credentials.has_value() && !credentials->access_token.empty()) {
    return credentials->access_token;
  }
  if (!challenge.realm.starts_with("https://") &&
      !(host_.url.starts_with("http://") && challenge.realm.starts_with("http://"))) {
    return PermissionDenied("the token service " + challenge.realm + " does not use https");
  }
  HttpRequest request{.url = TokenUrl(challenge)};
  request.foreign = !SameOrigin(challenge.realm, host_.url);
  if (credentials.has_value() && !credentials->identity_token.empty()) {
    request.url = challenge.realm;
    request.form = RefreshForm(challenge, credentials->identity_token);
  } else if (credentials.has_value()) {
    request.private_headers.push_back(Basic(*credentials));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response, http_->Send(request));
  if (response->status() != 200) {
    return Annotate(StatusOfAnswer(*response, challenge.realm), "the token service");
  }
  ASSIGN_OR_RETURN(const std::string answer, ReadAll(*response, kMaxTokenAnswerBytes));
  return ParseToken(answer);
}

}  // namespace slacker
