#include "backend/base/image_reference.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "backend/base/digest.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr char kHub[] = "docker.io";
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxTagBytes = 128;

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// Lower-case words joined by '.', '_', "__" or any number of '-'.
bool IsPathComponent(std::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerOrDigit(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && text[end] == text[i]) ++end;
    const size_t run = end - i;
    const bool good = text[i] == '-' || (text[i] == '.' && run == 1) || (text[i] == '_' && run < 3);
    if (!good || !IsLowerOrDigit(text[end])) return false;
    i = end;
  }
  return true;
}

bool IsRepository(std::string_view text) {
  for (;;) {
    const size_t slash = text.find('/');
    if (!IsPathComponent(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool IsTag(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTagBytes && text.front() != '.' &&
         text.front() != '-' && std::all_of(text.begin(), text.end(), [](char c) {
           return IsAlnum(c) || c == '_' || c == '.' || c == '-';
         });
}

// The host without its port, and the port's digits.
void SplitPort(std::string_view text, std::string_view* host, std::string_view* port) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  *host = has_port ? text.substr(0, colon) : text;
  *port = has_port ? text.substr(colon + 1) : std::string_view("0");
}

bool IsHost(std::string_view text) {
  std::string_view host;
  std::string_view port;
  SplitPort(text, &host, &port);
  if (port.empty() || port.size() > 5 ||
      !std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    in6_addr address;
    return inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &address) == 1;
  }
  return !host.empty() && IsAlnum(host.front()) && IsAlnum(host.back()) &&
         host.find("..") == std::string_view::npos &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return IsAlnum(c) || c == '.' || c == '-'; });
}

// Docker's rule for telling a host from the first word of a path.
bool LooksLikeHost(std::string_view word) {
  return word == "localhost" || word.find_first_of(".:") != std::string_view::npos ||
         std::any_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

absl::Status Bad(std::string_view text, std::string_view why) {
  return InvalidArgument("image reference \"" + std::string(text) + "\": " + std::string(why));
}

}  // namespace

std::string ImageReference::ToString() const {
  std::string text = host + "/" + repository;
  if (!tag.empty()) text += ":" + tag;
  if (!digest.empty()) text += "@" + digest;
  return text;
}

absl::StatusOr<ImageReference> ParseImageReference(std::string_view text) {
  ImageReference reference;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    const absl::StatusOr<Digest> digest = Digest::Parse(rest.substr(at + 1));
    if (!digest.ok()) return Bad(text, "the digest is not sha256: and 64 lower-case hex digits");
    reference.digest = digest->ToString();
    rest = rest.substr(0, at);
  }
  if (const size_t slash = rest.find('/');
      slash != std::string_view::npos && LooksLikeHost(rest.substr(0, slash))) {
    reference.host = rest.substr(0, slash);
    rest.remove_prefix(slash + 1);
    if (!IsHost(reference.host)) return Bad(text, "bad host name");
  }
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!IsTag(reference.tag)) return Bad(text, "bad tag");
  } else if (reference.digest.empty()) {
    reference.tag = "latest";
  }
  reference.repository = rest;
  if (!IsRepository(rest)) {
    return Bad(text, "bad repository name (lower-case words joined by '/', '.', '_' and '-')");
  }
  if (reference.host.empty() || reference.host == "index.docker.io") reference.host = kHub;
  if (reference.host == kHub && reference.repository.find('/') == std::string::npos) {
    reference.repository.insert(0, "library/");
  }
  if (reference.host.size() + 1 + reference.repository.size() > kMaxNameBytes) {
    return Bad(text, "the name is longer than 255 bytes");
  }
  return reference;
}

bool IsLoopbackHost(std::string_view text) {
  std::string_view host;
  std::string_view port;
  SplitPort(text, &host, &port);
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address;
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 &&
         (ntohl(address.s_addr) >> 24) == 127;
}

}  // namespace slacker
