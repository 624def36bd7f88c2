// Images in a registry that speaks the OCI distribution API (v2).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/image_reference.h"
#include "backend/registry/registry_client.h"
#include "backend/registry/registry_options.h"
#include "backend/source/image_source.h"

namespace slacker {

// Does not connect yet. Requests that fail for a passing reason (no connection, 408, 429, 5xx) are
// repeated options.max_tries times in all, after delays that double or as long as the registry
// asks for; broken downloads of blobs are taken up where they broke, at whichever host answers
// then. Which hosts are asked: registry_hosts.h; with which credentials: registry_endpoint.h. An
// image is private when credentials, headers or a client certificate were used and nobody gets the
// root that was read, by its digest, without them. INVALID_ARGUMENT: hosts.toml, certificates.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenRegistrySource(const ImageReference& reference,
                                                                const RegistryOptions& options);

// OK when somebody who shows no credentials gets the manifest with that digest. PERMISSION_DENIED:
// also when what he gets has another digest. REQUIRES: the client was opened as anonymous.
absl::Status CheckAnonymousAccess(RegistryClient& anonymous, const Digest& manifest);

}  // namespace slacker
