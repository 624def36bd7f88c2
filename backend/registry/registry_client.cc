#include "backend/registry/registry_client.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "backend/base/clock.h"
#include "backend/base/status.h"
#include "backend/registry/registry_hosts.h"

namespace slacker {
namespace {

using std::chrono::milliseconds;

bool WorthRepeating(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// Retry-After: seconds, or a date.
milliseconds RetryAfter(const HttpResponse& response) {
  const std::string text = response.Header("retry-after");
  constexpr int64_t kMost = int64_t{366} * 86'400;
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size()) {
    seconds = HttpDate(text) - SystemClock().WallNanos() / 1'000'000'000;
  }
  return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kMost));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RegistryClient>> RegistryClient::Open(
    const ImageReference& reference, const RegistryOptions& options, bool anonymous) {
  ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts,
                   LoadRegistryHosts(options.hosts_directory, reference.host));
  std::unique_ptr<RegistryClient> client(new RegistryClient(reference, options));
  for (const RegistryHost& host : hosts) {
    auto endpoint = RegistryEndpoint::Open(host, reference, options, anonymous);
    if (!endpoint.ok()) return Annotate(endpoint.status(), "the registry host " + host.url);
    client->endpoints_.push_back(*std::move(endpoint));
  }
  return client;
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::Get(
    Purpose purpose, const std::string& path, const std::vector<std::string>& headers) {
  milliseconds delay = options_.retry_delay;
  for (int attempt = 1;; ++attempt) {
    milliseconds asked{0};
    auto response = GetOnce(purpose, path, headers, &asked);
    if (response.ok() || !WorthRepeating(response.status())) return response;
    if (asked > options_.max_retry_delay) {
      return Annotate(response.status(), "the registry asks to wait for " +
                                             std::to_string(asked.count() / 1000) +
                                             " s before the next request");
    }
    if (attempt >= options_.max_tries) return response;
    RETURN_IF_ERROR(Wait(std::max(delay, asked)));
    delay *= 2;
  }
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::GetOnce(
    Purpose purpose, const std::string& path, const std::vector<std::string>& headers,
    milliseconds* retry_after) {
  absl::Status failure =
      FailedPrecondition("hosts.toml lets no host of " + reference_.host + " do this");
  std::string earlier;
  bool asked = false;
  for (const auto& endpoint : endpoints_) {
    const RegistryHost& host = endpoint->host();
    if (!(purpose == Purpose::kResolve ? host.resolves : host.pulls)) continue;
    if (asked) earlier += "; before that: " + Message(failure);
    asked = true;
    *retry_after = milliseconds(0);
    auto response = endpoint->Get(path, headers);
    if (!response.ok()) {
      failure = response.status();
    } else if (const int status = (*response)->status(); status == 200 || status == 206) {
      return response;
    } else {
      *retry_after = RetryAfter(**response);
      failure = StatusOfAnswer(**response, host.url + "/" + reference_.repository + "/" + path);
    }
    MutexLock lock(&mutex_);
    if (cancelled_) return Cancelled("the registry is not asked again");
  }
  if (earlier.empty()) return failure;
  return absl::Status(failure.code(), Message(failure) + earlier);
}

void RegistryClient::Cancel() {
  MutexLock lock(&mutex_);
  cancelled_ = true;
  changed_.SignalAll();
}

bool RegistryClient::used_credentials() const {
  return std::any_of(endpoints_.begin(), endpoints_.end(),
                     [](const auto& endpoint) { return endpoint->used_credentials(); });
}

absl::Status RegistryClient::Wait(milliseconds delay) {
  const auto deadline = std::chrono::steady_clock::now() + delay;
  MutexLock lock(&mutex_);
  while (!cancelled_) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return absl::OkStatus();
    (void)changed_.WaitFor(&mutex_, left);  // the loop looks at the clock itself
  }
  return Cancelled("the registry is not asked again");
}

}  // namespace slacker
