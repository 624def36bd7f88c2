// Store URLs, and the table of the backends that this build knows.
//
//   loopback:/ABSOLUTE/PATH   a directory of this machine, or of a file system mounted on it
//   memory:                   in this process; gone with it
//
// INVALID_ARGUMENT for anything else, with a message that names what is possible.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"

namespace slacker {

// Checks a URL without opening anything: for reading configurations.
absl::Status ValidateStoreUrl(std::string_view url);

// For publishing: makes the store's directory if it is missing.
absl::StatusOr<std::shared_ptr<Backend>> OpenBackend(std::string_view url);

// For tools that look at, or maintain, a store: UNAVAILABLE if it is missing.
absl::StatusOr<std::shared_ptr<Backend>> OpenExistingBackend(std::string_view url);

// For a node. Opens also a store that is not there (yet): its reads are UNAVAILABLE until it is.
absl::StatusOr<std::shared_ptr<ReadBackend>> OpenReadBackend(std::string_view url);

}  // namespace slacker
