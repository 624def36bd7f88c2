#include "backend/registry/registry_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "backend/base/status.h"
#include "backend/registry/registry_hosts.h"
#include "backend/registry/retry.h"

namespace slacker {
using std::chrono::milliseconds;

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
  RetrySchedule schedule(options_);
  for (;;) {
    auto response = GetOnce(purpose, path, headers);
    if (response.ok()) return response;
    milliseconds delay{0};
    RETURN_IF_ERROR(schedule.Next(response.status(), &delay));
    RETURN_IF_ERROR(Wait(delay));
  }
}

absl::StatusOr<std::unique_ptr<HttpResponse>> RegistryClient::GetOnce(
    Purpose purpose, const std::string& path, const std::vector<std::string>& headers) {
  absl::Status failure =
      FailedPrecondition("hosts.toml lets no host of " + reference_.host + " do this");
  std::string earlier;
  bool asked = false;
  for (const auto& endpoint : endpoints_) {
    const RegistryHost& host = endpoint->host();
    if (!(purpose == Purpose::kResolve ? host.resolves : host.pulls)) continue;
    if (asked) earlier += "; before that: " + Message(failure);
    asked = true;
    auto response = endpoint->Get(path, headers);
    if (!response.ok()) {
      failure = response.status();
    } else if (const int status = (*response)->status(); status == 200 || status == 206) {
      return response;
    } else {
      failure = StatusOfAnswer(**response, host.url + "/" + reference_.repository + "/" + path);
    }
    MutexLock lock(&mutex_);
    if (cancelled_) return Cancelled("the registry is not asked again");
  }
  if (earlier.empty()) return failure;
  absl::Status all(failure.code(), Message(failure) + earlier);
  failure.ForEachPayload(
      [&all](absl::string_view name, const absl::Cord& payload) { all.SetPayload(name, payload); });
  return all;
}

void RegistryClient::Cancel() {
  for (const auto& endpoint : endpoints_) endpoint->Cancel();
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
