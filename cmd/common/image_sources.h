// The table of the kinds of image sources.
//
//   docker://REFERENCE         a registry
//   oci:DIRECTORY[:TAG]        an OCI image layout
//   oci-archive:FILE[:TAG]     a tar of one
//   docker-archive:FILE[:TAG]  what `docker save` writes
//   containerd:NAME            the content store of a running containerd
//
// DIRECTORY and FILE have no ':'.
// INVALID_ARGUMENT for anything else, with a message that names what is possible.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/registry/registry_source.h"
#include "backend/source/image_source.h"
#include "cmd/common/containerd_source.h"

namespace slacker {

struct SourceOptions {
  RegistryOptions registry;
  ContainerdOptions containerd;
};

// Where docker, nerdctl and podman keep credentials, as the environment says: $DOCKER_CONFIG or
// ~/.docker/config.json, then $REGISTRY_AUTH_FILE or containers/auth.json in $XDG_RUNTIME_DIR and
// in $XDG_CONFIG_HOME or ~/.config.
std::vector<std::string> DefaultCredentialFiles();

// Whether `spec` has one of these forms: without opening anything.
absl::Status ValidateImageSource(std::string_view spec);

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageSource(std::string_view spec,
                                                             const SourceOptions& options);

}  // namespace slacker
