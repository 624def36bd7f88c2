// What the configuration names beside itself: keys, and what an https store is asked with. Nothing is made or
// written. Errors name the place in the configuration: "FILE:LINE: KEY: …".
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/signature.h"
#include "cmd/slackerd/config.h"

namespace slacker {

// store.trusted_keys. Errors: those of opening a file; INVALID_ARGUMENT for what is no public key.
absl::StatusOr<std::vector<PublicKey>> ReadTrustedKeys(const Config& config);

// Whether the files of store.ca_file and its like can be opened, if a store is asked with them.
absl::Status CheckAccessFiles(const Config& config);

// Whether publish.auto can work, if it is set: INVALID_ARGUMENT for a store that slackerctl cannot write;
// FAILED_PRECONDITION when this node, which trusts `trusted`, would run nothing that it publishes; else
// publish.key cannot be read.
absl::Status CheckPublishing(const Config& config, const std::vector<PublicKey>& trusted);

}  // namespace slacker
