// Image references as docker and containerd write them: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

struct ImageReference {
  std::string host;        // "docker.io", "127.0.0.1:5000", "[::1]:5000"
  std::string repository;  // "library/nginx"
  std::string tag;         // empty when only a digest was given
  std::string digest;      // "sha256:…"; wins over the tag

  // "docker.io/library/nginx:latest": with everything that was left out.
  std::string ToString() const;
  // "docker.io/library/nginx".
  std::string RepositoryName() const { return host + "/" + repository; }
  // What the registry is asked for.
  const std::string& TagOrDigest() const { return digest.empty() ? tag : digest; }
};

// A reference without a host is Docker Hub's, one-word paths there are in library/, and without tag
// and digest the tag is "latest". INVALID_ARGUMENT for what the grammar of the distribution project
// does not have.
absl::StatusOr<ImageReference> ParseImageReference(std::string_view text);

// 127.0.0.0/8, localhost, [::1]; with or without a port.
bool IsLoopbackHost(std::string_view host);

}  // namespace slacker
