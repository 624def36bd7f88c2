#include "backend/publish/registry_auth.h"

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "backend/base/status.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

constexpr std::streamsize kMaxDockerConfigBytes = 1 << 20;
constexpr size_t kMaxTokenBytes = 32 << 10;

// Printable ASCII without spaces: what can stand in a header without changing its meaning.
bool IsHeaderSafe(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

void SkipSeparators(std::string_view* text) {
  while (!text->empty() && (text->front() == ' ' || text->front() == ',' || text->front() == '\t'))
    text->remove_prefix(1);
}

// key="value" or key=value; false where the text is malformed.
bool TakeParameter(std::string_view* text, std::string* key, std::string* value) {
  const size_t equals = text->find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  *key = text->substr(0, equals);
  std::transform(key->begin(), key->end(), key->begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  text->remove_prefix(equals + 1);
  value->clear();
  if (!text->starts_with('"')) {
    const size_t end = std::min(text->find_first_of(", "), text->size());
    *value = text->substr(0, end);
    text->remove_prefix(end);
    return true;
  }
  text->remove_prefix(1);
  while (!text->empty() && text->front() != '"') {
    if (text->front() == '\\') text->remove_prefix(1);
    if (text->empty()) return false;
    *value += text->front();
    text->remove_prefix(1);
  }
  if (text->empty()) return false;
  text->remove_prefix(1);
  return true;
}

}  // namespace

absl::StatusOr<AuthChallenge> ParseChallenge(std::string_view header) {
  const std::string scheme(header.substr(0, header.find(' ')));
  AuthChallenge challenge;
  if (strcasecmp(scheme.c_str(), "basic") == 0) {
    challenge.scheme = AuthChallenge::Scheme::kBasic;
    return challenge;
  }
  if (strcasecmp(scheme.c_str(), "bearer") != 0) {
    return InvalidArgument("the registry asks for the unknown kind of authentication \"" + scheme +
                           "\"");
  }
  std::string_view rest = header.substr(scheme.size());
  std::map<std::string, std::string> parameters;
  for (SkipSeparators(&rest); !rest.empty(); SkipSeparators(&rest)) {
    std::string key;
    std::string value;
    if (!TakeParameter(&rest, &key, &value)) {
      return InvalidArgument("the registry sends a malformed WWW-Authenticate header");
    }
    parameters.emplace(std::move(key), std::move(value));
  }
  challenge.realm = parameters["realm"];
  challenge.service = parameters["service"];
  challenge.scope = parameters["scope"];
  if (challenge.realm.empty() || !IsHeaderSafe(challenge.realm)) {
    return InvalidArgument("the registry names no token service");
  }
  return challenge;
}

std::string TokenUrl(const AuthChallenge& challenge) {
  std::string url = challenge.realm;
  char separator = url.find('?') == std::string::npos ? '?' : '&';
  for (const auto& [key, value] :
       {std::pair{"service", challenge.service}, std::pair{"scope", challenge.scope}}) {
    if (value.empty()) continue;
    url += separator + (std::string(key) + "=" + PercentEncode(value));
    separator = '&';
  }
  return url;
}

absl::StatusOr<std::string> ParseToken(std::string_view answer) {
  const Json json = Json::parse(answer.begin(), answer.end(), nullptr, /*allow_exceptions=*/false);
  for (const char* key : {"token", "access_token"}) {
    if (!json.is_object() || !json.contains(key) || !json.at(key).is_string()) continue;
    std::string token = json.at(key).get<std::string>();
    if (!token.empty() && token.size() <= kMaxTokenBytes && IsHeaderSafe(token)) return token;
  }
  return InvalidArgument("the token service's answer has no usable token");
}

absl::StatusOr<std::optional<std::string>> FindBasicCredentials(const std::string& config_path,
                                                                std::string_view host) {
  if (config_path.empty()) return std::nullopt;
  std::ifstream file(config_path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(static_cast<size_t>(kMaxDockerConfigBytes), '\0');
  file.read(text.data(), kMaxDockerConfigBytes);
  text.resize(static_cast<size_t>(file.gcount()));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidArgument(config_path + " is not a JSON object");
  const auto auths = json.find("auths");
  if (auths == json.end() || !auths->is_object()) return std::nullopt;
  std::vector<std::string> keys = {std::string(host), "https://" + std::string(host),
                                   "https://" + std::string(host) + "/v2/"};
  if (host == "docker.io") keys.insert(keys.begin(), "https://index.docker.io/v1/");
  for (const std::string& key : keys) {
    const auto entry = auths->find(key);
    if (entry == auths->end() || !entry->is_object() || !entry->contains("auth")) continue;
    const Json& auth = entry->at("auth");
    if (!auth.is_string() || !IsHeaderSafe(auth.get<std::string>())) {
      return InvalidArgument(config_path + ": auths." + key + ".auth is not base64");
    }
    return auth.get<std::string>();
  }
  return std::nullopt;
}

}  // namespace slacker
