// An exported image into a running containerd: what its content store lacks.
#pragma once

#include <memory>
#include <string>

#include "backend/export/image_sink.h"
#include "cmd/common/containerd_client.h"

namespace slacker {

// Blobs that containerd has are left alone. The manifest is made to refer to all of them, so that its
// garbage collector keeps them; where it is not `manifest`, which the image `name` has, the image
// gets it: the same configuration and diff IDs, other digests. `client` outlives the sink, and holds
// a lease.
std::unique_ptr<ImageSink> NewContainerdSink(ContainerdClient* client, std::string name,
                                             const Digest& manifest);

}  // namespace slacker
