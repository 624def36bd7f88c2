// The URL of a store behind a web server, and where an answer may send us from there. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker::https {

struct Url {
  bool secure = true;     // https, else http
  std::string authority;  // "images.example.com", "127.0.0.1:8080", "[::1]:8443"
  std::string path;       // "" or "/a/b", without a slash at the end

  std::string Origin() const { return (secure ? "https://" : "http://") + authority; }
  std::string ToString() const { return Origin() + path; }
};

// "https://HOST[:PORT][/PATH]", or "http://…" where HOST is a loopback address. INVALID_ARGUMENT
// for anything else: also for user names, queries and fragments.
absl::StatusOr<Url> ParseUrl(std::string_view text);

// What a redirect of `from` to the absolute URL `to` means.
enum class Redirect {
  kFollow,            // https on another host or port: without the credentials for this one
  kFollowWithinHost,  // https on the same host and port
  kDirectory,         // the same path with a slash at its end: `from` is no object
  kRefuse,            // not https
};
Redirect JudgeRedirect(std::string_view from, std::string_view to);

}  // namespace slacker::https
