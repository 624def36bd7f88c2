#include "backend/publish/registry_client.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/publish/verifying_source.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxErrorBytes = 16 << 10;
constexpr uint64_t kMaxTokenAnswerBytes = 256 << 10;
constexpr int kMaxDelayFactor = 16;

// What the registry says of an error, fit for a terminal.
std::string ErrorText(HttpResponse& response) {
  const absl::StatusOr<std::string> body = ReadAll(response, kMaxErrorBytes);
  if (!body.ok()) return "";
  const nlohmann::json json = nlohmann::json::parse(*body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return "";
  const auto errors = json.find("errors");
  if (errors == json.end() || !errors->is_array() || errors->empty()) return "";
  const nlohmann::json& first = errors->front();
  if (!first.is_object() || !first.contains("message") || !first.at("message").is_string()) {
    return "";
  }
  std::string text = first.at("message").get<std::string>().substr(0, 200);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c == 0x7f; }, '?');
  return " (" + text + ")";
}

absl::Status StatusOfAnswer(HttpResponse& response, const std::string& url) {
  const int status = response.status();
  const std::string message =
      "GET " + url + ": HTTP status " + std::to_string(status) + ErrorText(response);
  if (status == 404) return NotFound(message);
  if (status == 401 || status == 403) return PermissionDenied(message);
  if (status == 408 || status == 429 || status >= 500) return Unavailable(message);
  return Internal(message);
}

bool WorthRepeating(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

// Retry-After in seconds; 0 where it is missing or a date.
std::chrono::milliseconds RetryAfter(const HttpResponse& response) {
  const std::string text = response.Header("retry-after");
  int seconds = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(std::clamp(seconds, 0, 3600));
}

}  // namespace

RegistryClient::RegistryClient(ImageReference reference, const SourceOptions& options)
    : reference_(std::move(reference)),
      options_(options),
      http_({options.connect_timeout, options.stall_timeout}) {}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::Get(
    const std::string& path, const std::vector<std::string>& headers) {
  const std::string url = reference_.ApiUrl() + "/v2/" + reference_.repository + "/" + path;
  std::chrono::milliseconds delay = options_.retry_delay;
  for (int attempt = 1;; ++attempt) {
    std::chrono::milliseconds asked{0};
    absl::Status failure;
    absl::StatusOr<std::unique_ptr<HttpResponse>> response = GetOnce(url, headers);
    if (!response.ok()) {
      failure = response.status();
    } else if (const int status = (*response)->status(); status == 200 || status == 206) {
      return response;
    } else {
      asked = RetryAfter(**response);
      failure = StatusOfAnswer(**response, url);
    }
    if (!WorthRepeating(failure) || attempt >= options_.max_tries) return failure;
    RETURN_IF_ERROR(Wait(std::max(delay, std::min(asked, options_.retry_delay * kMaxDelayFactor))));
    delay *= 2;
  }
}

void RegistryClient::Cancel() {
  MutexLock lock(&mutex_);
  cancelled_ = true;
  changed_.SignalAll();
}

absl::Status RegistryClient::Wait(std::chrono::milliseconds delay) {
  const auto deadline = std::chrono::steady_clock::now() + delay;
  MutexLock lock(&mutex_);
  while (!cancelled_) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return absl::OkStatus();
    (void)changed_.WaitFor(&mutex_, left);  // the loop looks at the clock itself
  }
  return Cancelled("the registry is not asked again");
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::GetOnce(
    const std::string& url, std::vector<std::string> headers) {
  std::string authorization;
  {
    MutexLock lock(&mutex_);
    authorization = authorization_;
  }
  const size_t plain_headers = headers.size();
  if (!authorization.empty()) headers.push_back(authorization);
  ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response, http_.Get(url, headers));
  if (response->status() != 401) return response;
  RETURN_IF_ERROR(Annotate(Authenticate(response->Header("www-authenticate")), "GET " + url));
  headers.resize(plain_headers);
  {
    MutexLock lock(&mutex_);
    if (!authorization_.empty()) headers.push_back(authorization_);
  }
  return http_.Get(url, headers);
}

absl::Status RegistryClient::Authenticate(const std::string& challenge_header) {
  ASSIGN_OR_RETURN(const AuthChallenge challenge, ParseChallenge(challenge_header));
  ASSIGN_OR_RETURN(const std::optional<std::string> credentials,
                   FindBasicCredentials(options_.docker_config_path, reference_.host));
  std::string authorization;
  if (challenge.scheme == AuthChallenge::Scheme::kBearer) {
    ASSIGN_OR_RETURN(const std::string token, FetchToken(challenge, credentials));
    authorization = "Authorization: Bearer " + token;
  } else if (credentials.has_value()) {
    authorization = "Authorization: Basic " + *credentials;
  } else {
    return PermissionDenied("the registry asks for a password: log in to " + reference_.host +
                            " with docker, nerdctl or podman first");
  }
  MutexLock lock(&mutex_);
  authorization_ = std::move(authorization);
  used_credentials_ = used_credentials_ || credentials.has_value();
  return absl::OkStatus();
}

absl::StatusOr<std::string> RegistryClient::FetchToken(
    const AuthChallenge& challenge, const std::optional<std::string>& credentials) {
  const bool plain_allowed = reference_.ApiUrl().starts_with("http://");
  if (!challenge.realm.starts_with("https://") &&
      !(plain_allowed && challenge.realm.starts_with("http://"))) {
    return PermissionDenied("the token service " + challenge.realm + " does not use https");
  }
  std::vector<std::string> headers;
  if (credentials.has_value()) headers.push_back("Authorization: Basic " + *credentials);
  const std::string url = TokenUrl(challenge);
  ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response, http_.Get(url, headers));
  if (response->status() != 200) return StatusOfAnswer(*response, url);
  ASSIGN_OR_RETURN(const std::string answer, ReadAll(*response, kMaxTokenAnswerBytes));
  return ParseToken(answer);
}

}  // namespace slacker
