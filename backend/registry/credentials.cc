#include "backend/registry/credentials.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "backend/base/status.h"
#include "backend/registry/credential_helper.h"
#include "backend/registry/registry_auth.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

constexpr std::streamsize kMaxFileBytes = 1 << 20;
constexpr char kHubServer[] = "https://index.docker.io/v1/";

// The names under which credentials of a repository may stand, the best one first.
std::vector<std::string> KeysOf(const std::string& host, const std::string& repository) {
  std::vector<std::string> keys;
  std::string name = host + "/" + repository;
  for (size_t end = name.size(); end != std::string::npos; end = name.rfind('/')) {
    name.resize(end);
    keys.push_back(name);
  }
  if (host == "docker.io") {
    keys.insert(keys.end() - 1, {kHubServer, "index.docker.io", "registry-1.docker.io"});
  }
  for (const char* path : {"", "/", "/v1", "/v1/", "/v2", "/v2/"}) {
    keys.push_back("https://" + host + path);
    keys.push_back("http://" + host + path);
  }
  return keys;
}

absl::StatusOr<std::string> TextAt(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end()) return std::string();
  if (!it->is_string()) return InvalidArgument(std::string(key) + " is not a string");
  return it->get<std::string>();
}

// USER:PASSWORD in base64.
absl::Status SplitAuth(const std::string& auth, RegistryCredentials* credentials) {
  std::string text;
  if (!absl::Base64Unescape(auth, &text)) return InvalidArgument("auth is not base64");
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return InvalidArgument("auth is not USER:PASSWORD");
  credentials->username = text.substr(0, colon);
  credentials->password = text.substr(colon + 1);
  while (credentials->password.ends_with('\0')) credentials->password.pop_back();
  return absl::OkStatus();
}

// An entry of `auths`; nothing when it is empty, as docker leaves it beside a credentials store.
absl::StatusOr<std::optional<RegistryCredentials>> ParseEntry(const Json& entry) {
  if (!entry.is_object()) return InvalidArgument("is not an object");
  RegistryCredentials credentials;
  ASSIGN_OR_RETURN(credentials.access_token, TextAt(entry, "registrytoken"));
  ASSIGN_OR_RETURN(credentials.identity_token, TextAt(entry, "identitytoken"));
  ASSIGN_OR_RETURN(credentials.username, TextAt(entry, "username"));
  ASSIGN_OR_RETURN(credentials.password, TextAt(entry, "password"));
  ASSIGN_OR_RETURN(const std::string auth, TextAt(entry, "auth"));
  if (!auth.empty()) RETURN_IF_ERROR(SplitAuth(auth, &credentials));
  if (!IsHeaderSafe(credentials.access_token)) {
    return InvalidArgument("registrytoken is not a token");
  }
  if (credentials.username.empty() && credentials.identity_token.empty() &&
      credentials.access_token.empty()) {
    return std::nullopt;
  }
  return credentials;
}

absl::StatusOr<std::string> HelperFor(const Json& config, const std::string& host,
                                      const std::string& server) {
  if (const auto helpers = config.find("credHelpers"); helpers != config.end()) {
    if (!helpers->is_object()) return InvalidArgument("credHelpers is not an object");
    for (const std::string& key : {host, server}) {
      ASSIGN_OR_RETURN(std::string helper, TextAt(*helpers, key.c_str()));
      if (!helper.empty()) return helper;
    }
  }
  return TextAt(config, "credsStore");
}

// Empty when there is no such file.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::string();
  std::string text(static_cast<size_t>(kMaxFileBytes) + 1, '\0');
  file.read(text.data(), kMaxFileBytes + 1);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > static_cast<size_t>(kMaxFileBytes)) {
    return InvalidArgument("it is larger than 1 MiB");
  }
  return text;
}

absl::StatusOr<std::optional<RegistryCredentials>> FindInFile(const std::string& path,
                                                              const std::string& host,
                                                              const std::string& repository,
                                                              std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  if (text.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(CredentialEntry entry, ParseCredentialFile(text, host, repository));
  if (!entry.helper.empty()) {
    ASSIGN_OR_RETURN(auto answer, AskCredentialHelper(entry.helper, entry.server, timeout));
    if (answer.has_value()) {
      RegistryCredentials credentials;
      if (answer->username == "<token>") {
        credentials.identity_token = std::move(answer->secret);
      } else {
        credentials.username = std::move(answer->username);
        credentials.password = std::move(answer->secret);
      }
      return credentials;
    }
  }
  return std::move(entry.stored);
}

}  // namespace

absl::StatusOr<CredentialEntry> ParseCredentialFile(std::string_view text, const std::string& host,
                                                    const std::string& repository) {
  const Json config = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return InvalidArgument("it is not a JSON object");
  CredentialEntry found;
  found.server = host == "docker.io" ? kHubServer : host;
  ASSIGN_OR_RETURN(found.helper, HelperFor(config, host, found.server));
  const auto auths = config.find("auths");
  if (auths == config.end()) return found;
  if (!auths->is_object()) return InvalidArgument("auths is not an object");
  for (const std::string& key : KeysOf(host, repository)) {
    const auto entry = auths->find(key);
    if (entry == auths->end()) continue;
    auto stored = ParseEntry(*entry);
    if (!stored.ok()) return Annotate(stored.status(), "auths." + key);
    if (!stored->has_value()) continue;
    found.stored = *std::move(stored);
    break;
  }
  return found;
}

absl::StatusOr<std::optional<RegistryCredentials>> FindCredentials(
    const std::vector<std::string>& files, const std::string& host, const std::string& repository,
    std::chrono::milliseconds helper_timeout) {
  for (const std::string& path : files) {
    auto found = FindInFile(path, host, repository, helper_timeout);
    if (!found.ok()) return Annotate(found.status(), path);
    if (found->has_value()) return found;
  }
  return std::nullopt;
}

}  // namespace slacker
