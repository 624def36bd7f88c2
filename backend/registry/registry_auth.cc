#include "backend/registry/registry_auth.h"

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>

#include "backend/base/status.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxTokenBytes = 32 << 10;

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

absl::StatusOr<AuthChallenge> ParseOneChallenge(std::string_view header) {
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

}  // namespace

bool IsHeaderSafe(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

absl::StatusOr<AuthChallenge> ParseChallenge(std::string_view header) {
  absl::Status failure;
  for (;;) {
    const size_t end = header.find('\n');
    absl::StatusOr<AuthChallenge> challenge = ParseOneChallenge(header.substr(0, end));
    if (challenge.ok()) return challenge;
    if (failure.ok()) failure = challenge.status();
    if (end == std::string_view::npos) return failure;
    header.remove_prefix(end + 1);
  }
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

std::string RefreshForm(const AuthChallenge& challenge, const std::string& identity_token) {
  std::string form =
      "grant_type=refresh_token&client_id=slacker&refresh_token=" + PercentEncode(identity_token);
  for (const auto& [key, value] :
       {std::pair{"service", challenge.service}, std::pair{"scope", challenge.scope}}) {
    if (!value.empty()) form += "&" + std::string(key) + "=" + PercentEncode(value);
  }
  return form;
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

}  // namespace slacker
