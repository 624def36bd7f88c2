// URLs and dates as HTTP has them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace slacker {

struct UrlOrigin {
  std::string scheme, host, port;  // "http" or "https"; in lower case; in digits
  bool operator==(const UrlOrigin&) const = default;
};

// `url` as an absolute one, relative to `base` if that is not empty, and its origin. INVALID_ARGUMENT:
// neither http nor https, or malformed.
absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& url,
                                       UrlOrigin* origin);

// `location` as an answer to a request for `base` has it: absolute. INVALID_ARGUMENT: a bad URL.
absl::StatusOr<std::string> ResolveLocation(const std::string& base, const std::string& location);
// Whether both are well-formed and have the same scheme, host and port.
bool SameOrigin(const std::string& a, const std::string& b);

// Seconds since 1970 of a date in a header; 0 when it is none.
int64_t HttpDate(const std::string& text);

}  // namespace slacker
