// docker's credential helpers: programs called docker-credential-<name> that keep passwords.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace slacker {

struct HelperAnswer {
  std::string username;  // "<token>": the secret is an identity token
  std::string secret;
};

// Runs `docker-credential-<name> get` with `server` on its standard input. The program is looked
// for in $PATH; it inherits the environment and standard error. nullopt: it knows no credentials
// for this server. INVALID_ARGUMENT: a name that cannot be a program's; FAILED_PRECONDITION: it is
// missing, fails, or does not answer as helpers do; DEADLINE_EXCEEDED: it took longer than
// `timeout`, and was killed with all that it started. Its answer is limited to 64 KiB. Thread-safe.
absl::StatusOr<std::optional<HelperAnswer>> AskCredentialHelper(const std::string& name,
                                                                const std::string& server,
                                                                std::chrono::milliseconds timeout);

}  // namespace slacker
