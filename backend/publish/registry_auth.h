// Registry authentication: what a 401 asks for, and the credentials that docker keeps.
#pragma once

#include <optional>
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

// INVALID_ARGUMENT for other schemes and malformed headers.
absl::StatusOr<AuthChallenge> ParseChallenge(std::string_view header);

// Where the token for `challenge` is to be fetched: the realm with service and scope as query.
std::string TokenUrl(const AuthChallenge& challenge);

// The token in a token service's answer; INVALID_ARGUMENT when there is none that can stand in a
// header.
absl::StatusOr<std::string> ParseToken(std::string_view answer);

// The value of `auths.<host>.auth` (base64 of USER:PASSWORD) in docker's config.json, for use after
// "Basic "; nothing when the file or the entry is missing. INVALID_ARGUMENT when the file is there
// but is not what docker writes.
absl::StatusOr<std::optional<std::string>> FindBasicCredentials(const std::string& config_path,
                                                                std::string_view host);

}  // namespace slacker
