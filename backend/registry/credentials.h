// The credentials that docker, nerdctl and podman keep: config.json and files of its form.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker {

// One of three: user name and password, an identity token (to be exchanged for access tokens), or
// an access token.
struct RegistryCredentials {
  std::string username, password;
  std::string identity_token;
  std::string access_token;
};

// What a file knows of credentials. Nothing is asked yet.
struct CredentialEntry {
  std::string helper;  // ask this one first; empty = none
  std::string server;  // by this name
  std::optional<RegistryCredentials> stored;
};

// What `text` (config.json) has for `repository` of `host`: the helper of credHelpers, else of
// credsStore; and the entry of `auths` under the longest of "host/path" prefixes, under the host or
// under a URL of it (docker.io: "https://index.docker.io/v1/" too). INVALID_ARGUMENT when it is not
// what docker writes.
absl::StatusOr<CredentialEntry> ParseCredentialFile(std::string_view text, const std::string& host,
                                                    const std::string& repository);

// From the first of `files` that has some; files that are missing do not matter, and each may be
// 1 MiB. INVALID_ARGUMENT (a file), or what the helper answered (credential_helper.h).
absl::StatusOr<std::optional<RegistryCredentials>> FindCredentials(
    const std::vector<std::string>& files, const std::string& host, const std::string& repository,
    std::chrono::milliseconds helper_timeout);

}  // namespace slacker
