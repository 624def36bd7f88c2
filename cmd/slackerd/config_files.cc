#include "cmd/slackerd/config_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"

namespace slacker {
namespace {

absl::Status At(const Config& config, const char* key, const absl::Status& status) {
  const auto place = config.places.find(key);
  const std::string file = place == config.places.end() ? "" : place->second + ": ";
  return Annotate(status, file + key);
}

absl::Status CheckReadable(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  return file.valid() ? absl::OkStatus() : ErrnoError(errno, "open " + path);
}

bool IsBehindAWebServer(const Config& config) {
  return !CanBeListed(config.store_url) ||
         !std::ranges::all_of(config.store_replicas, &CanBeListed);
}

}  // namespace

absl::StatusOr<std::vector<PublicKey>> ReadTrustedKeys(const Config& config) {
  absl::StatusOr<std::vector<PublicKey>> keys = ReadPublicKeys(config.trusted_keys);
  if (!keys.ok()) return At(config, "store.trusted_keys", keys.status());
  return keys;
}

absl::Status CheckAccessFiles(const Config& config) {
  if (!IsBehindAWebServer(config)) return absl::OkStatus();
  const StoreAccess& access = config.store_access;
  for (const auto& [key, path] : {std::pair("store.ca_file", &access.ca_file),
                                  {"store.client_certificate", &access.client_certificate},
                                  {"store.client_key", &access.client_key},
                                  {"store.token_file", &access.token_file}}) {
    RETURN_IF_ERROR(At(config, key, CheckReadable(*path)));
  }
  return absl::OkStatus();
}

absl::Status CheckPublishing(const Config& config, const std::vector<PublicKey>& trusted) {
  if (!config.publish_auto) return absl::OkStatus();
  if (config.store_url.empty() || !CanBeListed(config.store_url) ||
      config.store_url.starts_with("memory:")) {
    return At(config, "publish.auto",
              InvalidArgument("it needs a store that slackerctl can write"));
  }
  if (config.publish_key.empty()) {
    if (trusted.empty()) return absl::OkStatus();
    return At(config, "publish.auto",
              FailedPrecondition("it needs a publish.key, because of store.trusted_keys"));
  }
  const absl::StatusOr<SigningKey> key = ReadSigningKey(config.publish_key);
  if (!key.ok()) return At(config, "publish.key", key.status());
  if (trusted.empty() || std::ranges::find(trusted, key->public_key()) != trusted.end()) {
    return absl::OkStatus();
  }
  return At(config, "publish.key",
            FailedPrecondition("the public half of " + config.publish_key +
                               " is not among store.trusted_keys: this node would run nothing "
                               "that it publishes"));
}

}  // namespace slacker
