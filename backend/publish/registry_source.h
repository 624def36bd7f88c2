// Images in a registry that speaks the OCI distribution API (v2).
#pragma once

#include <memory>

#include "backend/publish/image_source.h"
#include "backend/base/image_reference.h"

namespace slacker {

// Does not connect yet. Requests that fail for a passing reason (no connection, 429, 5xx) are
// repeated options.max_tries times in all; broken downloads of blobs are taken up where they broke.
// Tokens are fetched when the registry asks for them: with docker's credentials for this host if
// there are any, anonymously otherwise; credentials never leave over plain HTTP except to loopback.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenRegistrySource(const ImageReference& reference,
                                                                const SourceOptions& options);

}  // namespace slacker
