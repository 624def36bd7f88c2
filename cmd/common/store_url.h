// Store URLs, and the table of the backends that this build knows.
//
//   loopback:/ABSOLUTE/PATH     a directory of this machine, or of a file system mounted on it
//   nfs://HOST[:PORT]/PATH…     a directory of an NFS server (backend/nfs/target.h), without a mount
//   memory:                     in this process; gone with it
//   https://HOST[:PORT][/PATH]  a web server, read-only; http:// on loopback addresses
//
// INVALID_ARGUMENT for anything else, with a message that names what is possible.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"

namespace slacker {

// How a store on a network is asked: files, "" = none. Of no effect for the other ones.
struct StoreAccess {
  std::string ca_file = {};  // PEM: who certifies the server, instead of the system's authorities
  std::string client_certificate = {}, client_key = {};  // PEM: what this machine shows
  std::string token_file = {};                           // a bearer token

  bool operator==(const StoreAccess&) const = default;
};

// Checks a URL without opening anything: for reading configurations.
absl::Status ValidateStoreUrl(std::string_view url);

// Whether a store can be listed and written, or only be asked for objects by name: then the next
// two give INVALID_ARGUMENT. True for bad URLs.
bool CanBeListed(std::string_view url);

// For publishing: makes the store's directory if it is missing. FAILED_PRECONDITION for a root of
// slackerd.
absl::StatusOr<std::shared_ptr<Backend>> OpenBackend(std::string_view url);

// For a node that writes requests. Opens also a store that is not there (yet).
absl::StatusOr<std::shared_ptr<Backend>> OpenNodeBackend(std::string_view url);

// For tools that list, or maintain, a store: UNAVAILABLE if it is missing, FAILED_PRECONDITION as above.
absl::StatusOr<std::shared_ptr<Backend>> OpenExistingBackend(std::string_view url);

// For a node. Opens also a store that is not there (yet): its reads are UNAVAILABLE until it is.
// The errors of ErrnoError for files of `access` that cannot be read.
absl::StatusOr<std::shared_ptr<ReadBackend>> OpenReadBackend(std::string_view url,
                                                             const StoreAccess& access);

}  // namespace slacker
