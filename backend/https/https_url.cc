#include "backend/https/https_url.h"

#include <charconv>
#include <cstdint>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"

namespace slacker::https {
namespace {

constexpr std::string_view kSecure = "https://";
constexpr std::string_view kPlain = "http://";
constexpr size_t kMaxUrlBytes = 1024;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsPort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0;
}

// A name, an IPv4 address, or an IPv6 address in brackets; perhaps with a port.
bool IsAuthority(std::string_view text) {
  size_t end = 0;
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    if (text.substr(1, end - 1).find_first_not_of("0123456789abcdefABCDEF:.") !=
        std::string_view::npos) {
      return false;
    }
    ++end;
  } else {
    while (end < text.size() && (IsAlphanumeric(text[end]) || text[end] == '.' ||
                                 text[end] == '-' || text[end] == '_')) {
      ++end;
    }
    if (end == 0) return false;
  }
  return end == text.size() || (text[end] == ':' && IsPort(text.substr(end + 1)));
}

// Characters of RFC 3986's path, and no component that a client would resolve away.
bool IsPath(std::string_view path) {
  for (const char c : path) {
    if (!IsAlphanumeric(c) &&
        std::string_view("-._~!$&'()*+,;=:@%/").find(c) == std::string::npos) {
      return false;
    }
  }
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == "..") return false;
    path.remove_prefix(component.size());
  }
  return true;
}

// Splits without judging; false when `text` has neither scheme.
bool Split(std::string_view text, Url* url) {
  url->secure = text.starts_with(kSecure);
  if (!url->secure && !text.starts_with(kPlain)) return false;
  text.remove_prefix(url->secure ? kSecure.size() : kPlain.size());
  const size_t end = text.find_first_of("/?#");
  url->authority = text.substr(0, end);
  url->path = end == std::string_view::npos ? "" : text.substr(end);
  return true;
}

}  // namespace

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  Url url;
  if (text.size() > kMaxUrlBytes) return InvalidArgument("longer than 1024 bytes");
  if (!Split(text, &url)) return InvalidArgument("must be https://HOST[:PORT][/PATH]");
  while (url.path.ends_with('/')) url.path.pop_back();
  if (!IsAuthority(url.authority)) return InvalidArgument("bad host or port");
  if (!IsPath(url.path)) return InvalidArgument("bad path");
  if (!url.secure && !IsLoopbackHost(url.authority)) {
    return InvalidArgument("plain http is for loopback addresses only");
  }
  return url;
}

Redirect JudgeRedirect(std::string_view from, std::string_view to) {
  Url old_url;
  Url new_url;
  if (!Split(from, &old_url) || !Split(to, &new_url)) return Redirect::kRefuse;
  if (new_url.path == old_url.path + "/") return Redirect::kDirectory;
  if (!new_url.secure) return Redirect::kRefuse;
  return old_url.secure && new_url.authority == old_url.authority ? Redirect::kFollowWithinHost
                                                                  : Redirect::kFollow;
}

}  // namespace slacker::https
