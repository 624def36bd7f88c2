// Registry authentication: what a 401 asks for.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

// A WWW-Authenticate header (distribution's token specification; RFC 7617 for Basic).
struct AuthChallenge {
  enum class Scheme { kBearer, kBasic };
  Scheme scheme = Scheme::kBearer;
  std::string realm;  // Bearer: URL of the token service
  std::string service;
  std::string scope;
};

// `header`: all of them, one a line; the first one that we can answer counts. INVALID_ARGUMENT when
// there is none: other schemes, malformed.
absl::StatusOr<AuthChallenge> ParseChallenge(std::string_view header);

// Where the token for `challenge` is to be fetched: the realm with service and scope as query.
std::string TokenUrl(const AuthChallenge& challenge);

// The token in a token service's answer; INVALID_ARGUMENT when there is none that can stand in a
// header.
absl::StatusOr<std::string> ParseToken(std::string_view answer);

// The form that exchanges an identity token for an access token at the realm (OAuth 2).
std::string RefreshForm(const AuthChallenge& challenge, const std::string& identity_token);

// Printable ASCII without spaces: what can stand in a header without changing its meaning.
bool IsHeaderSafe(std::string_view text);

}  // namespace slacker
