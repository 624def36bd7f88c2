// Images in the content store of a running containerd.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/registry/registry_options.h"
#include "backend/source/image_source.h"
#include "cmd/common/containerd_client.h"

namespace slacker {

// `name`: an image's name as containerd has it; if there is none, completed as docker does. What it
// names now is the source's image, whatever happens to the name later. NOT_FOUND: no such image.
// FAILED_PRECONDITION, later: no such blob (layers that a snapshotter took from elsewhere, or that
// were discarded after unpacking).
// UNAVAILABLE, DEADLINE_EXCEEDED: containerd does not answer.
//
// containerd does not know who could read what it pulled, so an image counts as private unless its
// registry hands out its manifest to somebody without credentials (`registry` says how to ask, its
// credentials are not used); one whose name is no registry's is for everybody.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenContainerdSource(std::string_view name,
                                                                  const ContainerdOptions& options,
                                                                  const RegistryOptions& registry);

}  // namespace slacker
