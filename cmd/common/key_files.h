// Keys as files, in the form of backend/base/signature.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/signature.h"

namespace slacker {

// Errors: those of opening the file; INVALID_ARGUMENT, with the file's name, for what is no key.
absl::StatusOr<SigningKey> ReadSigningKey(const std::string& path);
absl::StatusOr<std::vector<PublicKey>> ReadPublicKeys(const std::vector<std::string>& paths);

// Writes `path` (0600) and `path`.pub (0644), durably. ALREADY_EXISTS where there is a file: no key
// is ever overwritten.
absl::Status WriteKeyPair(const SigningKey& key, const std::string& path);

}  // namespace slacker
